// How the page behaves in this browser, and as whom.

import { nameReviewer } from './api.js';
import { notifications, sound, switchNotifications } from './alerts.js';
import { attempt } from './notices.js';
import { html, useState } from './html.js';
import { Choice, Dialog } from './parts.js';
import { instance, session } from './session.js';
import { useStore } from './store.js';
import { theme } from './theme.js';

export function Settings({ onClose }) {
  const { reviewer } = useStore(session);
  const { version } = useStore(instance);
  const [name, setName] = useState(reviewer || '');
  const save = (event) => {
    event.preventDefault();
    attempt(async () => {
      const changed = await nameReviewer(name.trim());
      session.set((before) => ({ ...before, reviewer: changed?.reviewer ?? name.trim() }));
      onClose();
    });
  };
  return html`
    <${Dialog} title="Settings" onClose=${onClose}>
      <form class="settings" onSubmit=${save}>
        <label>Your name <span class="dim">(shown to other reviewers, and kept in the audit)</span>
          <input value=${name} maxlength="60" onInput=${(event) => setName(event.target.value)} /></label>
        <div><span>Appearance</span><${Choice} label="Appearance" value=${useStore(theme)} onChange=${theme.set}
          options=${[['auto', 'As the system'], ['light', 'Light'], ['dark', 'Dark']]} /></div>
        <label class="switch"><input type="checkbox" checked=${useStore(sound)} onChange=${(event) => sound.set(event.target.checked)} />
          A sound when something waits</label>
        <label class="switch"><input type="checkbox" checked=${useStore(notifications)} onChange=${(event) => switchNotifications(event.target.checked)} />
          A notification when something waits and this page is not in sight</label>
        <footer class="dialog-actions"><span class="dim grow">${version ? `Interpose ${version}` : ''}</span>
          <button class="primary" disabled=${!name.trim()}>Done</button></footer>
      </form>
    </${Dialog}>
  `;
}
