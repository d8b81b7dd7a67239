// Light and dark. Needs a browser.

import { changeSettings } from '../chat/choices.js';
import { state } from '../state.js';

export const THEMES = ['system', 'light', 'dark'];
const dark = () => matchMedia('(prefers-color-scheme: dark)');

export const themeNow = () => state.settings.theme ?? 'system';
export function chooseTheme(name) {
  changeSettings({ theme: name });
  applyTheme();
}

/** Huggingface.co asks for a theme in the address. */
export function applyTheme() {
  const requested = new URLSearchParams(location.search).get('__theme');
  const chosen = ['light', 'dark'].includes(requested) ? requested : themeNow();
  const isDark = chosen === 'system' ? dark().matches : chosen === 'dark';
  document.body.classList.toggle('dark', isDark);
  document.documentElement.style.colorScheme = isDark ? 'dark' : 'light';
}

export const watchTheme = () => dark().addEventListener('change', applyTheme);
