// Octets as hexadecimal text, and back; octets as base64, and back.

const WIDTH = 16;
const DIGITS = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, '0'));

/** A dump: position, octets, and the characters that they would be in ASCII. */
export function dump(octets) {
  const lines = [];
  for (let start = 0; start < octets.length; start += WIDTH) {
    const row = octets.subarray(start, start + WIDTH);
    const left = Array.from(row, (octet) => DIGITS[octet]);
    const right = Array.from(row, (octet) => (octet >= 32 && octet < 127 ? String.fromCharCode(octet) : '·')).join('');
    const pairs = `${left.slice(0, 8).join(' ')}  ${left.slice(8).join(' ')}`.padEnd(WIDTH * 3);
    lines.push(`${start.toString(16).padStart(6, '0')}  ${pairs}  ${right}`);
  }
  return lines.join('\n');
}

/** Octets as pairs of digits, sixteen a line, for editing. */
export function toHex(octets) {
  const lines = [];
  for (let start = 0; start < octets.length; start += WIDTH) {
    lines.push(Array.from(octets.subarray(start, start + WIDTH), (octet) => DIGITS[octet]).join(' '));
  }
  return lines.join('\n');
}

/** What `toHex` made, edited. An Error that names the line of what is no pair of digits. */
export function fromHex(text) {
  const found = [];
  text.split('\n').forEach((line, index) => {
    const digits = line.replace(/\s+/g, '');
    const wrong = /[^0-9a-fA-F]/.exec(digits);
    if (wrong) throw new Error(`Line ${index + 1}: "${wrong[0]}" is no hexadecimal digit.`);
    if (digits.length % 2) throw new Error(`Line ${index + 1} has half an octet: write two digits for each.`);
    for (let at = 0; at < digits.length; at += 2) found.push(parseInt(digits.slice(at, at + 2), 16));
  });
  return Uint8Array.from(found);
}

export function toBase64(octets) {
  let text = '';
  for (let start = 0; start < octets.length; start += 8192) text += String.fromCharCode(...octets.subarray(start, start + 8192));
  return btoa(text);
}

export const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
