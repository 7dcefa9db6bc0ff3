/** Hides what does not have all the words that are typed, in the list and in the page. */
export const script = `
const input = document.getElementById('search');
const found = document.getElementById('found');
const articles = [...document.querySelectorAll('main article[data-entry]')].map((element) => ({ element, text: element.textContent.toLowerCase() }));
const links = new Map([...document.querySelectorAll('nav a[data-entry]')].map((link) => [link.hash.slice(1), link]));
const groups = document.querySelectorAll('[data-group]');
function search() {
  const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let count = 0;
  for (const { element, text } of articles) {
    const fits = words.every((word) => text.includes(word));
    element.hidden = !fits;
    const link = links.get(element.id);
    if (link) link.hidden = !fits;
    if (fits) count += 1;
  }
  for (const group of groups) {
    const entries = [...group.querySelectorAll('[data-entry]')];
    group.hidden = entries.length > 0 && entries.every((entry) => entry.hidden);
  }
  found.textContent = words.length === 0 ? '' : count + ' found';
}
input.addEventListener('input', search);
addEventListener('keydown', (event) => {
  if (event.key === '/' && document.activeElement !== input) { event.preventDefault(); input.focus(); }
  if (event.key === 'Escape') { input.value = ''; search(); }
});
addEventListener('hashchange', () => {
  if (input.value !== '') { input.value = ''; search(); document.getElementById(location.hash.slice(1))?.scrollIntoView(); }
});
search();
`;
