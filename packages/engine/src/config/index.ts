export { type Config, fields } from './fields.ts';
export { configFile, configOf, defaultConfig, readConfig } from './read.ts';
