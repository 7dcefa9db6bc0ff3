import { readFileSync } from 'node:fs';
import { VivError } from '@vivarium/model';

function setOne(into: Record<string, string>, line: string, outer: NodeJS.ProcessEnv, where: string): void {
  const equals = line.indexOf('=');
  const name = equals === -1 ? line : line.slice(0, equals);
  if (name === '' || /[\s\0]/.test(name)) {
    throw new VivError('invalid_request', `Not an environment variable: ${JSON.stringify(line)}${where}`, {
      hint: 'Use NAME=VALUE, or NAME alone to pass on the value it has here.',
    });
  }
  const value = equals === -1 ? outer[name] : line.slice(equals + 1);
  // As in Docker: a name alone that has no value here is left out.
  if (value !== undefined) into[name] = value;
}

/**
 * `--env-file` and `--env` as one environment. Files come first, then the options in their order, so that an option
 * wins. In a file, empty lines and lines that begin with # are skipped; quotes have no meaning.
 *
 * @throws VivError `path_not_found`, `invalid_request`.
 */
export function parseEnvironment(
  variables: readonly string[],
  files: readonly string[],
  outer: NodeJS.ProcessEnv,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const file of files) {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (cause) {
      throw new VivError('path_not_found', `Cannot read the environment file ${file}`, { cause });
    }
    text.split(/\r?\n/).forEach((line, index) => {
      if (line.trim() === '' || line.trimStart().startsWith('#')) return;
      setOne(environment, line.trimStart(), outer, ` (${file}, line ${index + 1})`);
    });
  }
  for (const variable of variables) setOne(environment, variable, outer, '');
  return environment;
}
