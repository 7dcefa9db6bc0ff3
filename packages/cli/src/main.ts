import { enableCompileCache } from 'node:module';

// Before anything else is imported: what it saves is most of the start of a short command.
enableCompileCache();
const { main } = await import('./index.ts');
await main(process.argv.slice(2));
