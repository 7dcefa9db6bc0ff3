import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type Comment, parseSync } from 'oxc-parser';

/** A member of an interface or class, or a constituent of a union that has comments of its own. */
export interface Member {
  /** As in the source, on one line, without implementation. */
  signature: string;
  doc: string;
}

export interface Entry {
  name: string;
  kind: 'interface' | 'class' | 'type' | 'function' | 'const';
  doc: string;
  /** The declaration without its members. */
  signature: string;
  members: Member[];
}

/** What one source exports. */
export interface Chapter {
  /** From the root of the repository. */
  file: string;
  entries: Entry[];
}

type Node = { type: string; start: number; end: number } & Record<string, unknown>;

const root = path.resolve(import.meta.dirname, '../..');

/** A module and all that it exports from others, in the order in which they are first met. */
export function readChapters(file: string, seen = new Set<string>()): Chapter[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const source = new Source(file);
  const own = source.entries();
  const others = source.reexports().flatMap((other) => readChapters(other, seen));
  const chapter = { file: path.relative(root, file), entries: own };
  return own.length > 0 ? [chapter, ...others] : others;
}

/** Where an export of a module leads: a file beside it, or another package's entrance. */
function resolve(from: string, specifier: string): string {
  if (specifier.startsWith('.')) return path.resolve(path.dirname(from), specifier);
  return path.join(root, 'packages', specifier.replace('@vivarium/', ''), 'src/index.ts');
}

class Source {
  readonly #file: string;
  readonly #text: string;
  readonly #body: Node[];
  readonly #comments: Comment[];

  constructor(file: string) {
    this.#file = file;
    this.#text = readFileSync(file, 'utf8');
    const { program, comments, errors } = parseSync(file, this.#text);
    const [first] = errors;
    if (first !== undefined) throw new Error(`${file}: ${first.message}`);
    this.#body = program.body as unknown as Node[];
    this.#comments = comments;
  }

  /** What is exported by name from elsewhere counts as all of that module. */
  reexports(): string[] {
    return this.#body.flatMap(({ type, source }) =>
      source !== null && source !== undefined && type.startsWith('Export')
        ? [resolve(this.#file, (source as { value: string }).value)]
        : [],
    );
  }

  entries(): Entry[] {
    return this.#body.flatMap((node) => {
      const declaration = node.declaration as Node | null | undefined;
      if (node.type !== 'ExportNamedDeclaration' || !declaration) return [];
      const doc = this.#docBefore(node.start);
      // What packages of ours need of each other is exported too.
      return doc?.includes('@internal') ? [] : [this.#entry(declaration, doc ?? '')];
    });
  }

  #entry(node: Node, doc: string): Entry {
    const of = (kind: Entry['kind'], name: unknown, signature: string, members: Member[] = []): Entry => ({
      kind,
      name: (name as { name: string }).name,
      doc,
      signature,
      members,
    });
    const body = node.body as Node | null | undefined;
    switch (node.type) {
      case 'TSInterfaceDeclaration':
        return of('interface', node.id, this.#line(node.start, body?.start ?? node.end), this.#members(body));
      case 'ClassDeclaration':
        return of('class', node.id, this.#line(node.start, body?.start ?? node.end), this.#members(body));
      case 'FunctionDeclaration':
        return of('function', node.id, this.#line(node.start, body?.start ?? node.end));
      case 'TSTypeAliasDeclaration': {
        const members = this.#constituents(node.typeAnnotation as Node);
        const signature = this.#text.slice(node.start, node.end);
        return of('type', node.id, signature.replaceAll(/^\s*\/\*\*.*\*\/\n/gm, ''), members);
      }
      default: {
        const [first] = node.declarations as Node[];
        const id = first?.id as Node & { name: string; typeAnnotation?: Node };
        return of('const', id, `const ${this.#line(id.start, id.typeAnnotation?.end ?? id.end)}`);
      }
    }
  }

  #members(body: Node | null | undefined): Member[] {
    return ((body?.body as Node[] | undefined) ?? []).flatMap((member) => {
      const key = member.key as Node | undefined;
      if (key?.type === 'PrivateIdentifier' || member.accessibility === 'private') return [];
      const value = member.value as Node | null | undefined;
      const code = (value?.body as Node | undefined)?.start ?? (key && this.#initialiser(member));
      const doc = this.#docBefore(member.start) ?? '';
      return [{ signature: this.#line(member.start, code ?? member.end).replace(/;$/, ''), doc }];
    });
  }

  /** Where the value of a property begins, which is nobody's business. */
  #initialiser(member: Node): number | undefined {
    if (member.type !== 'PropertyDefinition' || !member.value) return undefined;
    return this.#text.lastIndexOf('=', (member.value as Node).start);
  }

  #constituents(node: Node): Member[] {
    if (node.type !== 'TSUnionType') return [];
    return (node.types as Node[]).flatMap((type) => {
      const doc = this.#docBefore(type.start, '|');
      return doc === undefined ? [] : [{ signature: this.#line(type.start, type.end), doc }];
    });
  }

  /** Source on one line, without comments. */
  #line(start: number, end: number): string {
    const text = this.#text.slice(start, end).replaceAll(/\/\*[\s\S]*?\*\//g, ' ');
    return text
      .replaceAll(/\s+/g, ' ')
      .replaceAll(/([({[<]) (?=\w|\.)/g, (_, open: string) => (open === '{' ? '{ ' : open))
      .replaceAll(/,? ([)\]>])/g, (whole, close: string) => (whole.includes('=>') ? whole : close))
      .trim();
  }

  /** The doc comment that ends right before a position, but for blanks and `between`. */
  #docBefore(position: number, between = ''): string | undefined {
    const comment = this.#comments.findLast(({ end }) => end <= position);
    if (comment === undefined || comment.type !== 'Block' || !comment.value.startsWith('*')) return undefined;
    const gap = this.#text.slice(comment.end, position).trim();
    if (gap !== '' && gap !== between && gap !== 'export' && gap !== 'export default') return undefined;
    return comment.value
      .slice(1)
      .split('\n')
      .map((line) => line.replace(/^\s*\* ?/, '').trimEnd())
      .join('\n')
      .trim();
  }
}
