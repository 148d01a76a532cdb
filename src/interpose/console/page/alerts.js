// Telling somebody who looks elsewhere that something waits: title, sound, notification. Each can be switched off, and
// the browser asks before the first notification.

import { announce } from './notices.js';
import { remembered } from './store.js';

export const sound = remembered('sound', true);
export const notifications = remembered('notifications', false);

let audio = null;

/** A new hold. */
export function alertTo(hold) {
  const text = `${describe(hold)} waits for a decision.`;
  announce(text);
  if (sound.get()) chime();
  if (notifications.get() && document.hidden && globalThis.Notification?.permission === 'granted') {
    const shown = new Notification('Interpose', { body: text, tag: hold.id });
    shown.onclick = () => {
      focus();
      location.hash = `#/desk/${encodeURIComponent(hold.id)}`;
    };
  }
}

/** What is held, in words. */
export function describe(hold) {
  if (hold.what === 'request') return `${hold.method} ${hold.url}`;
  if (hold.what === 'response') return `An answer (${hold.status}) to ${hold.method || 'a request'} ${hold.url}`;
  const kinds = { chunk: 'A piece of a stream', datagram: 'A datagram', websocket: 'A WebSocket message' };
  return `${kinds[hold.what] || 'A message'} for ${hold.url || 'a server'}`;
}

/** The page's title, with how many wait. */
export function entitle(waiting, instance) {
  document.title = `${waiting ? `(${waiting}) ` : ''}${instance || 'Interpose'}${instance ? ' · Interpose' : ''}`;
}

/** Ask for what notifications need, and switch them. */
export async function switchNotifications(isOn) {
  if (!isOn || !globalThis.Notification) return notifications.set(false);
  const answer = await Notification.requestPermission();
  return notifications.set(answer === 'granted');
}

// Two short tones. The browser allows none before the first click or key on the page, and then this is silent.
function chime() {
  if (!navigator.userActivation?.hasBeenActive) return;
  audio ||= new AudioContext();
  const tone = (frequency, at) => {
    const source = audio.createOscillator();
    const volume = audio.createGain();
    source.frequency.value = frequency;
    volume.gain.setValueAtTime(0.0001, at);
    volume.gain.exponentialRampToValueAtTime(0.08, at + 0.01);
    volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.18);
    source.connect(volume).connect(audio.destination);
    source.start(at);
    source.stop(at + 0.2);
  };
  tone(660, audio.currentTime);
  tone(880, audio.currentTime + 0.12);
}
