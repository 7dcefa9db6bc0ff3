export { type Config, fields } from './fields.ts';
export { parseRate } from './kinds.ts';
export { configFile, configOf, defaultConfig, readConfig } from './read.ts';
