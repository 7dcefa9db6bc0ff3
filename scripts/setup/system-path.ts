/**
 * The environment for the system's npm: the PATH as it was before the project's Node was put first. Distributions patch
 * npm and Node to find each other, so each npm runs on its own.
 */
export const systemPath = (): NodeJS.ProcessEnv => ({
  PATH: process.env.VIV_SYSTEM_PATH ?? process.env.PATH,
});
