export { type BuildOptions, buildAssets, type NativeBinaries } from './build.ts';
export { Checklist, type StepHandle } from './checklist.ts';
export { run, SetupError } from './command.ts';
export { setUp } from './main.ts';
export { type ImageConfig, type OciImage, writeOciArchive } from './oci-archive.ts';
export { installPackages, missingPackages, type Requirement, runtimeRequirements } from './packages.ts';
