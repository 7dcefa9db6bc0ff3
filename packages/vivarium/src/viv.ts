#!/usr/bin/env -S node --
// Without -- Node takes an --env-file among viv's own options for itself.
// npm only warns about `engines`; said here it is understood. Hence nothing is imported before.
const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  process.stderr.write(
    `viv: Vivarium needs Node 24 or later; this is Node ${process.versions.node} (${process.execPath}).\n`,
  );
  process.exit(69);
}
await import('@vivarium/cli/main');

export {};
