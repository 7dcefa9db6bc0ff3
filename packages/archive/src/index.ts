export { type CopyPlan, nameRoot, planCopy, type Source, sourceOf, type Target } from './copy-plan.ts';
export { type ExtractOptions, extractTree } from './extract.ts';
export { encodeHeader, endOfArchive, type TarHeader, type TarKind } from './header.ts';
export { type PackOptions, packFile, packTree } from './pack.ts';
export { readTar, type TarEntry } from './read.ts';
export { copyIn, copyOut, type FileDoor, readFile, writeFile } from './transfer.ts';
