/** Type-checks one changed file of the project after the other, without starting anew each time. */
import { join } from 'node:path';
import ts from 'typescript';

export class Compiler {
  #root;
  #service;
  /** Changed texts by path, and how often each file was changed. */
  #texts = new Map();
  #versions = new Map();

  constructor(root) {
    this.#root = root;
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
    const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
    this.#service = ts.createLanguageService({
      fileExists: ts.sys.fileExists,
      readFile: ts.sys.readFile,
      readDirectory: ts.sys.readDirectory,
      directoryExists: ts.sys.directoryExists,
      getDirectories: ts.sys.getDirectories,
      getCompilationSettings: () => options,
      getCurrentDirectory: () => root,
      getDefaultLibFileName: ts.getDefaultLibFilePath,
      getScriptFileNames: () => fileNames.filter((path) => path.startsWith(join(root, 'src'))),
      getScriptVersion: (path) => String(this.#versions.get(path) ?? 0),
      getScriptSnapshot: (path) => {
        const text = this.#texts.get(path) ?? ts.sys.readFile(path);
        return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
      },
    });
  }

  /** The first thing that is wrong with the file if this is its text, or nothing. */
  problemOf(file, text) {
    const path = join(this.#root, file);
    this.#change(path, text);
    const [first] = [
      ...this.#service.getSyntacticDiagnostics(path),
      ...this.#service.getSemanticDiagnostics(path),
    ];
    this.#change(path, undefined);
    return first && ts.flattenDiagnosticMessageText(first.messageText, ' ');
  }

  #change(path, text) {
    if (text === undefined) this.#texts.delete(path);
    else this.#texts.set(path, text);
    this.#versions.set(path, (this.#versions.get(path) ?? 0) + 1);
  }
}
