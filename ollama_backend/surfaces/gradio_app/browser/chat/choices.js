// What was chosen for a conversation: model, thinking, system prompt, options. New ones begin with the last choice.

import { setSettings, state } from '../state.js';
import { setLocalJson } from '../storage/records.js';
import { changeConversation } from './conversations.js';

/** @typedef {import('../tree.js').Conversation} Conversation */

const CHOICES = ['model', 'think', 'system', 'options'];
const plainName = (name) => (name ?? '').replace(/:latest$/, '');
export const sameModel = (one, other) => plainName(one) === plainName(other);
export const shortName = plainName;

/** Change the settings of this browser. @param {object} change */
export function changeSettings(change) {
  setSettings({ ...state.settings, ...change });
  setLocalJson('chat.settings', state.settings);
}

/** What was chosen for a conversation. */
export function choicesOf(id = state.current) {
  const chosen = state.conversations.get(id) ?? state.settings.fresh ?? {};
  return Object.fromEntries(CHOICES.map((name) => [name, chosen[name]]));
}

/** Choose for the conversation that is shown. @param {object} change */
export function choose(change) {
  const { current, settings } = state;
  if (state.conversations.has(current)) changeConversation(current, change);
  else changeSettings({ fresh: { ...settings.fresh, ...change } });
  // A model that was chosen once is meant for the next conversation too; a system prompt is not.
  if ('model' in change) changeSettings({ fresh: { ...state.settings.fresh, model: change.model } });
}

/** Begin new conversations with what was chosen for this one. */
export function chooseForNew() {
  changeSettings({ fresh: choicesOf() });
}

/** The model that answers in a conversation: the chosen one if it is there, else the server's default. */
export function modelOf(id = state.current) {
  const { models, model } = state.site;
  const chosen = choicesOf(id).model;
  return models.find((each) => each.name === chosen) ?? models.find((each) => sameModel(each.name, model)) ?? null;
}

/** What the server is told of these choices. */
export function requestOf(id) {
  const { think, system, options } = choicesOf(id);
  const model = modelOf(id);
  const thinks = model?.levels ? model.levels.includes(think) : model?.thinks && typeof think === 'boolean';
  return {
    ...(model ? { model: model.name } : {}),
    ...(thinks ? { think } : {}),
    ...(system?.trim() ? { system } : {}),
    ...(options && Object.keys(options).length ? { options } : {}),
  };
}
