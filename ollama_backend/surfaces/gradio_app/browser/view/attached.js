// What is attached to the message that is being written: pictures, files, what is sent of them, and what that costs.
// Needs a browser.

import { shownPath } from '../chat/acts.js';
import { attachedTo, detachFile, detachKept, detachPicture, planHere, selectPart } from '../chat/attachments.js';
import { pageRanges, readPageRanges } from '../files/attach.js';
import { t } from '../words.js';
import { el, icon, iconButton, redraw } from './dom.js';
import { thumbnail } from './media.js';

const CHOICES = {
  whole: 'file.whole',
  passages: 'file.passages',
  beginning: 'file.beginning',
  pages: 'file.somePages',
};

export function drawAttached() {
  const place = document.getElementById('attached');
  const { images, files, kept } = attachedTo();
  const plan = files.length ? planHere(shownPath()) : { files: [], words: [], fits: true };
  const shows = plan.files.map(({ file, ...planned }) => [file.name, planned]);
  redraw(place, [images, kept.map((file) => file.name), shows, plan.words], () => [
    kept.map((file, number) => chip(file.name, [], () => detachKept(number))),
    plan.files.map((planned, number) => plannedChip(planned, number)),
    images.map((id) => thumbnail(id, () => detachPicture(id))),
    plan.words.length > 0 &&
      el('p', { class: plan.fits ? 'quiet cost' : 'bad cost', role: 'status' }, words(plan.words)),
  ]);
}

const words = (list) => list.map(({ key, values }) => t(key, forWords(key, values))).join(' · ');

/** A time to come is an estimate. */
const forWords = (key, values) => (key === 'file.readingTime' ? { estimate: values.seconds } : values);

const chip = (name, more, remove) =>
  el(
    'div',
    { class: 'chip' },
    icon('file'),
    el('bdi', { class: 'name' }, name),
    more,
    iconButton('close', t('file.remove', { name }), remove),
  );

/** @param {import('../files/plan.js').Planned} planned @param {number} number */
function plannedChip({ file, choices, selection, facts }, number) {
  const choose = ({ target }) => selectPart(number, { kind: target.value });
  const control =
    choices.length > 1 &&
    el(
      'select',
      { id: `part-${number}`, 'aria-label': t('file.choice', { name: file.name }), onchange: choose },
      choices.map((kind) => el('option', { value: kind, selected: kind === selection.kind }, t(CHOICES[kind]))),
    );
  const pages = selection.kind === 'pages' && pagesField(file, selection, number);
  return chip(file.name, [el('small', { class: 'quiet' }, words(facts)), control, pages], () => detachFile(number));
}

function pagesField(file, selection, number) {
  const changed = ({ target }) => {
    const pages = readPageRanges(target.value, file.pages.length);
    target.setCustomValidity(pages ? '' : t('file.pagesWrong', { total: file.pages.length }));
    if (pages) selectPart(number, { kind: 'pages', pages });
    else target.reportValidity();
  };
  const value = selection.pages ? pageRanges(selection.pages) : '';
  return el('input', {
    id: `pages-${number}`,
    'aria-label': t('file.pagesField'),
    placeholder: t('file.pagesField'),
    value,
    onchange: changed,
  });
}
