/** As images name it. */
export const hostArchitecture = process.arch === 'x64' ? 'amd64' : process.arch;

/** All guests are the host's kind. */
export const hostPlatform = `linux/${hostArchitecture}`;
