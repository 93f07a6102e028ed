/**
 * Lists what can be imported from the package, and reached from there, without a docstring of its own:
 * exports, members of classes and interfaces, fields of object types. `@internal` is left out, as in
 * the published types.
 *
 *   node .ci/undocumented.mjs      one line each; exit status 1 if there are any
 */
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { ENTRIES } from './entries.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Places of symbols without a docstring, as `src/errors.ts: StorageError.path`, in order. */
export function undocumented() {
  const { config } = ts.readConfigFile(`${ROOT}tsconfig.json`, ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
  const roots = Object.values(ENTRIES).map((file) => `${ROOT}src/${file}.ts`);
  const program = ts.createProgram(roots, options);
  const survey = new Survey(program.getTypeChecker());
  for (const root of roots) survey.visitModule(program.getSourceFile(root));
  return [...survey.missing].sort();
}

class Survey {
  missing = new Set();
  #checker;
  #seen = new Set();

  constructor(checker) {
    this.#checker = checker;
  }

  visitModule(file) {
    const module = this.#checker.getSymbolAtLocation(file);
    for (const exported of this.#checker.getExportsOfModule(module)) {
      const isAlias = (exported.flags & ts.SymbolFlags.Alias) !== 0;
      this.#visit(isAlias ? this.#checker.getAliasedSymbol(exported) : exported, '');
    }
  }

  /** A symbol has a docstring if one of its declarations has: overloads share one. */
  #visit(symbol, owner) {
    if (this.#seen.has(symbol)) return;
    this.#seen.add(symbol);
    const declarations = (symbol.declarations ?? []).filter(isOurs);
    if (declarations.length === 0 || declarations.some(isInternal)) return;
    const name = `${owner}${symbol.name.replace(/^__@(\w+)@\d+$/, '[Symbol.$1]')}`;
    if (!isExempt(symbol) && !declarations.some(hasText)) {
      this.missing.add(`${relative(ROOT, declarations[0].getSourceFile().fileName)}: ${name}`);
    }
    for (const declaration of declarations) this.#visitMembers(declaration, `${name}.`);
  }

  #visitMembers(declaration, owner) {
    if (ts.isTypeAliasDeclaration(declaration)) this.#visitType(declaration.type, owner);
    const members = ts.isClassDeclaration(declaration) || ts.isInterfaceDeclaration(declaration);
    if (!members) return;
    for (const member of declaration.members) this.#visitMember(member, owner);
  }

  /** The fields of object types. Those of the variants of a union are described by its comment. */
  #visitType(node, owner) {
    if (ts.isTypeLiteralNode(node)) {
      for (const member of node.members) this.#visitMember(member, owner);
    } else if (ts.isIntersectionTypeNode(node)) {
      for (const part of node.types) this.#visitType(part, owner);
    }
  }

  #visitMember(member, owner) {
    const isHidden =
      member.name === undefined ||
      ts.isPrivateIdentifier(member.name) ||
      (ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Private) !== 0;
    if (isHidden) return;
    const symbol = this.#checker.getSymbolAtLocation(member.name);
    if (symbol !== undefined) this.#visit(symbol, owner);
  }
}

function isOurs(declaration) {
  return declaration.getSourceFile().fileName.startsWith(`${ROOT}src/`);
}

function isInternal(declaration) {
  return ts.getJSDocTags(hostOf(declaration)).some(({ tagName }) => tagName.text === 'internal');
}

/** Their names say everything: what tells the members of a union apart, and what `await using` calls. */
function isExempt({ name, declarations }) {
  if (name === 'kind' || name === 'type')
    return declarations.every(({ type }) => type && ts.isLiteralTypeNode(type));
  return false;
}

function hasText(declaration) {
  return ts.getJSDocCommentsAndTags(hostOf(declaration)).some((doc) => {
    const { comment } = doc;
    const text = typeof comment === 'string' ? comment : (ts.getTextOfJSDocComment(comment) ?? '');
    return ts.isJSDoc(doc) && text.trim() !== '';
  });
}

/** The comment of a constant stands on its statement. */
function hostOf(declaration) {
  return ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const missing = undocumented();
  for (const place of missing) console.log(place);
  console.log(`${missing.length} without a docstring`);
  process.exitCode = missing.length === 0 ? 0 : 1;
}
