import { enableCompileCache, registerHooks } from 'node:module';
import { ownModules } from './own-modules.ts';

// Before anything else is imported: what they save is most of the start of a short command.
enableCompileCache();
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
registerHooks({ resolve: ownModules(new URL('../../', import.meta.url).href, extension) });
const { main } = await import('./index.ts');
await main(process.argv.slice(2));
