export const style = `
:root { --back: #fff; --side: #f6f7f9; --text: #1c2024; --dim: #5f6873; --line: #dfe3e8; --link: #0b62c4; --code: #eef1f4;
  --get: #0b62c4; --post: #0a7a3d; --put: #8a5a00; --delete: #b3261e; --ws: #6b3fb5; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171a; --side: #1b1f23; --text: #e4e7ea; --dim: #98a2ad; --line: #2e343a; --link: #6cb0ff; --code: #23292e;
    --get: #6cb0ff; --post: #5fce8d; --put: #e0b25a; --delete: #ff8a80; --ws: #bb9af7; }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; display: grid; grid-template-columns: 21rem minmax(0, 1fr); color: var(--text); background: var(--back);
  font: 15px/1.5 system-ui, sans-serif; }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; background: var(--side); border-right: 1px solid var(--line); }
nav header { position: sticky; top: 0; padding: 1rem 1rem .5rem; background: var(--side); }
nav a { display: flex; gap: .5rem; padding: .1rem 1rem; color: var(--text); text-decoration: none; overflow-wrap: anywhere;
  font: 12.5px/1.6 ui-monospace, monospace; }
nav a:hover, nav a:focus-visible { background: var(--code); }
h1 { margin: 0 0 .5rem; font-size: 1.15rem; }
h1 small, i, #found { color: var(--dim); font-weight: normal; font-style: normal; font-size: .85em; }
#found { margin: .25rem 0 0; min-height: 1.3em; }
h2 { margin: 2rem 0 .5rem; font-size: 1.3rem; text-transform: capitalize; }
nav h2 { margin: .75rem 1rem .25rem; font-size: .8rem; color: var(--dim); }
h3 { margin: 0; font: 600 1rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
h3 a { color: inherit; text-decoration: none; }
h4 { margin: 1rem 0 .25rem; font-size: .9rem; }
main { padding: 1rem 2rem 4rem; max-width: 62rem; }
article { margin: 0 0 1rem; padding: 1rem 1.25rem; border: 1px solid var(--line); border-radius: 8px; }
article:target { border-color: var(--link); }
article p { margin: .35rem 0; }
input { width: 100%; padding: .45rem .6rem; color: inherit; background: var(--back); border: 1px solid var(--line); border-radius: 6px;
  font: inherit; }
a { color: var(--link); }
code { padding: .05em .3em; background: var(--code); border-radius: 4px; font: .88em ui-monospace, monospace; overflow-wrap: anywhere; }
.m { flex: none; min-width: 3.6em; font: 600 .85em/1.8 ui-monospace, monospace; }
.GET { color: var(--get); } .POST { color: var(--post); } .PUT, .PATCH { color: var(--put); } .DELETE { color: var(--delete); }
.WS { color: var(--ws); }
.badge { padding: .1em .5em; border: 1px solid var(--line); border-radius: 99px; color: var(--dim); font-size: .8em; text-decoration: none; }
table { width: 100%; border-collapse: collapse; font-size: .92em; }
td { padding: .3rem .6rem .3rem 0; border-top: 1px solid var(--line); vertical-align: top; }
td:first-child { white-space: nowrap; }
dl { margin: .35rem 0; }
dt { font-size: .875rem; }
dt span { color: var(--dim); }
dd { margin: 0 0 .3rem; padding-left: 1rem; color: var(--dim); font-size: .875rem; }
dd dl { padding-left: .75rem; border-left: 2px solid var(--line); color: var(--text); }
summary { margin-top: .75rem; cursor: pointer; color: var(--dim); font-size: .9em; }
[hidden] { display: none !important; }
@media (max-width: 56rem) {
  body { display: block; }
  nav { position: static; height: auto; max-height: 45vh; border: 0; border-bottom: 1px solid var(--line); }
  main { padding: 1rem; }
}
`;
