/**
 * The names of the memory file system, and which of them a crash would leave.
 *
 * A directory has the entries that look-ups see (`live`) and those that certainly survive
 * (`durable`). Between them lie the changes since its last sync. Each survives or is lost
 * independently of the others; survivors take effect in the order in which they were made.
 * A rename is one change, except that syncing one of two directories makes its half durable.
 *
 * Entries name nodes by their identity, as a directory names inodes.
 */
import { assert } from '../assert.ts';
import { checkText } from '../check-options.ts';
import type { Ownership } from '../virtual-file/file-system.ts';
import { systemError } from '../virtual-file/system-error.ts';
import type { Choose } from './choices.ts';
import { MemoryFile } from './memory-file.ts';

export type MemoryNode = MemoryFile | MemoryDirectory | MemorySymbolicLink | MemorySpecialFile;

export interface MemorySymbolicLink {
  readonly kind: 'symbolic-link';
  readonly identity: number;
  readonly target: string;
}

export interface MemorySpecialFile {
  readonly kind: 'other';
  readonly identity: number;
}

type Entries = Map<string, number>;

export class MemoryDirectory {
  readonly kind = 'directory';
  readonly identity: number;
  readonly live: Entries;
  readonly durable: Entries;

  /** Takes ownership of the maps. */
  constructor(identity: number, live: Entries = new Map(), durable: Entries = new Map()) {
    this.identity = identity;
    this.live = live;
    this.durable = durable;
  }
}

/** A name in a directory, and the node that it names. */
export interface Place {
  readonly directory: MemoryDirectory;
  readonly name: string;
  readonly node: MemoryNode | undefined;
}

interface NameEdit {
  /** Identity of the directory. */
  readonly directory: number;
  readonly name: string;
  /** Identity of the node that gets the name; nothing if the name is removed. */
  readonly node: number | undefined;
}

interface NameChange {
  readonly edits: readonly NameEdit[];
  /** Was part of a failed sync: it may have become durable then, and no later sync makes it so. */
  readonly lost: boolean;
}

const ROOT = 0;
const MAXIMUM_LINKS = 40;
const MAXIMUM_NAME_LENGTH = 255;

export class MemoryTree {
  #nodes = new Map<number, MemoryNode>([[ROOT, new MemoryDirectory(ROOT)]]);
  #changes: NameChange[] = [];
  #nextIdentity = ROOT + 1;
  /** Inode numbers of deleted files, for new files. */
  #freeInodes: number[] = [];

  /** Makes a node without a name. */
  create<N extends MemoryNode>(make: (identity: number) => N): N {
    const node = make(this.#nextIdentity);
    this.#nextIdentity += 1;
    this.#nodes.set(node.identity, node);
    return node;
  }

  /** Makes a file without a name, with the inode number of a deleted file if there is one. */
  createFile(ownership: Ownership): MemoryFile {
    return this.create((identity) => {
      const inode = this.#freeInodes.pop() ?? identity;
      return new MemoryFile({ identity, inode }, ownership);
    });
  }

  /** Frees the inode number of a file that has no name and no open descriptor. */
  release(file: MemoryFile): void {
    if (file.links === 0 && file.openers === 0) this.#freeInodes.push(file.inode);
  }

  /** Adds and removes names; a crash keeps all of the edits or none. */
  change(edits: readonly { readonly place: Place; readonly node: MemoryNode | undefined }[]): void {
    const change = edits.map(({ place, node }) => ({
      directory: place.directory.identity,
      name: place.name,
      node: node?.identity,
    }));
    this.#applyLive(change);
    this.#changes.push({ edits: change, lost: false });
  }

  /** Gives a node a name that is durable immediately. */
  changeDurably(place: Place, node: MemoryNode): void {
    const edit = { directory: place.directory.identity, name: place.name, node: node.identity };
    this.#applyLive([edit]);
    applyEdit(place.directory.durable, edit);
    this.#changes = this.#changes.map((older) => withoutReplaced(older, edit));
  }

  /**
   * Finds the place of a path. Symbolic links are followed in all parts but the last, and in the last
   * one, too, if a slash or a dot follows it.
   */
  locate(path: string): Place {
    return this.#walk(path, /\/\.?$/.test(path) ? 'follow-all-links' : 'keep-last-link');
  }

  /** Finds the place that the path leads to if all symbolic links are followed; it may be vacant. */
  resolve(path: string): Place {
    return this.#walk(path, 'follow-all-links');
  }

  directoryAt(path: string): MemoryDirectory {
    const { node } = this.resolve(path);
    if (node === undefined) throw systemError('find directory', path, 'ENOENT');
    if (node.kind !== 'directory') throw systemError('find directory', path, 'ENOTDIR');
    return node;
  }

  /** The entries that look-ups see. */
  entriesOf(directory: MemoryDirectory): [name: string, node: MemoryNode][] {
    return [...directory.live].map(([name, identity]) => [name, this.#node(identity)]);
  }

  syncDirectory(directory: MemoryDirectory): void {
    let left: NameChange[] = [];
    for (const change of this.#changes) {
      const { inside, outside } = splitEdits(change.edits, directory.identity);
      if (change.lost || inside.length === 0) left.push(change);
      else {
        for (const edit of inside) {
          applyEdit(directory.durable, edit);
          left = left.map((older) => withoutReplaced(older, edit));
        }
        left.push({ edits: outside, lost: false });
      }
    }
    this.#changes = left.filter(({ edits }) => edits.length > 0);
    this.#dropNameless();
  }

  failSyncDirectory(directory: MemoryDirectory): void {
    this.#changes = this.#changes.flatMap((change) => {
      const { inside, outside } = splitEdits(change.edits, directory.identity);
      if (change.lost || inside.length === 0) return [change];
      return [
        { edits: inside, lost: true },
        { edits: outside, lost: false },
      ].filter(({ edits }) => edits.length > 0);
    });
  }

  /** The number of possible outcomes of each decision that a crash makes. */
  possibilities(): number[] {
    const files = [...this.#nodes.values()].filter((node) => node.kind === 'file');
    return [...this.#changes.map(() => 2), ...files.flatMap((file) => file.possibilities())];
  }

  /** Copies the tree with its changes that are not durable. */
  clone(): MemoryTree {
    return this.#copy(this.#changes, (node) => {
      if (node.kind === 'directory') {
        return new MemoryDirectory(node.identity, new Map(node.live), new Map(node.durable));
      }
      return node.kind === 'file' ? node.clone() : node;
    });
  }

  /** Returns the tree as one crash leaves it, all of it durable. */
  crash(choose: Choose): MemoryTree {
    const survivors = this.#changes.filter(() => choose(2) === 1).flatMap(({ edits }) => edits);
    const tree = this.#copy([], (node) => {
      if (node.kind !== 'directory') return node;
      const entries = new Map(node.durable);
      const own = survivors.filter(({ directory }) => directory === node.identity);
      for (const edit of own) applyEdit(entries, edit);
      return new MemoryDirectory(node.identity, entries, new Map(entries));
    });
    tree.#dropNameless();
    tree.#freeInodes = [];
    for (const [identity, node] of tree.#nodes) {
      if (node.kind === 'file') tree.#nodes.set(identity, node.crash(choose));
    }
    tree.#countLinks();
    return tree;
  }

  #copy(changes: NameChange[], copyNode: (node: MemoryNode) => MemoryNode): MemoryTree {
    const tree = new MemoryTree();
    tree.#nextIdentity = this.#nextIdentity;
    tree.#freeInodes = this.#freeInodes.slice();
    tree.#changes = changes.slice();
    for (const [identity, node] of this.#nodes) tree.#nodes.set(identity, copyNode(node));
    return tree;
  }

  /** Changes the live entries. */
  #applyLive(edits: readonly NameEdit[]): void {
    const unnamed: MemoryFile[] = [];
    for (const edit of edits) {
      const { live } = this.#directory(edit.directory);
      const before = this.#fileAt(live.get(edit.name));
      const after = this.#fileAt(edit.node);
      applyEdit(live, edit);
      if (after !== undefined) after.links += 1;
      if (before === undefined) continue;
      before.links -= 1;
      unnamed.push(before);
    }
    for (const file of unnamed) this.release(file);
  }

  #fileAt(identity: number | undefined): MemoryFile | undefined {
    const node = identity === undefined ? undefined : this.#node(identity);
    return node?.kind === 'file' ? node : undefined;
  }

  #countLinks(): void {
    for (const node of this.#nodes.values()) if (node.kind === 'file') node.links = 0;
    for (const node of this.#nodes.values()) {
      if (node.kind !== 'directory') continue;
      for (const identity of node.live.values()) {
        const file = this.#fileAt(identity);
        if (file !== undefined) file.links += 1;
      }
    }
  }

  /** Deletes the nodes that have no name and could have none after any crash. */
  #dropNameless(): void {
    const named = new Set([ROOT]);
    for (const node of this.#nodes.values()) {
      if (node.kind !== 'directory') continue;
      for (const entries of [node.live, node.durable]) {
        for (const identity of entries.values()) named.add(identity);
      }
    }
    for (const { edits } of this.#changes) {
      for (const { node } of edits) if (node !== undefined) named.add(node);
    }
    for (const identity of this.#nodes.keys()) {
      if (!named.has(identity)) this.#nodes.delete(identity);
    }
  }

  #walk(path: string, how: 'keep-last-link' | 'follow-all-links'): Place {
    const root = this.#directory(ROOT);
    const ahead = partsOf(path);
    const above: MemoryDirectory[] = [];
    let directory = root;
    let links = 0;
    for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
      if (name === '..') {
        directory = above.pop() ?? root;
        continue;
      }
      const node = this.#entry(directory, name, path);
      if (node?.kind === 'symbolic-link' && (ahead.length > 0 || how === 'follow-all-links')) {
        links += 1;
        if (links > MAXIMUM_LINKS) throw systemError('follow symbolic links', path, 'ELOOP');
        if (node.target.startsWith('/')) directory = root;
        ahead.unshift(...partsOf(node.target));
        continue;
      }
      if (ahead.length === 0) return { directory, name, node };
      if (node === undefined) throw systemError('find directory', path, 'ENOENT');
      if (node.kind !== 'directory') throw systemError('find directory', path, 'ENOTDIR');
      above.push(directory);
      directory = node;
    }
    // The path is `/` or ends in `..`: the directory itself, under the empty name.
    return { directory, name: '', node: directory };
  }

  #entry(directory: MemoryDirectory, name: string, path: string): MemoryNode | undefined {
    if (Buffer.byteLength(name) > MAXIMUM_NAME_LENGTH) {
      throw systemError('look up name', path, 'ENAMETOOLONG');
    }
    const identity = directory.live.get(name);
    return identity === undefined ? undefined : this.#node(identity);
  }

  #node(identity: number): MemoryNode {
    const node = this.#nodes.get(identity);
    assert(node !== undefined, 'every name leads to a node');
    return node;
  }

  #directory(identity: number): MemoryDirectory {
    const node = this.#node(identity);
    assert(node.kind === 'directory', 'names are in directories');
    return node;
  }
}

/** Relative paths start at the root. */
function partsOf(path: string): string[] {
  checkText('path', path);
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

function applyEdit(entries: Entries, { name, node }: NameEdit): void {
  if (node === undefined) entries.delete(name);
  else entries.set(name, node);
}

function splitEdits(edits: readonly NameEdit[], directory: number) {
  return {
    inside: edits.filter((edit) => edit.directory === directory),
    outside: edits.filter((edit) => edit.directory !== directory),
  };
}

/** Returns: what remains of a change that is not durable after a later edit of a name became durable. */
function withoutReplaced(older: NameChange, newer: NameEdit): NameChange {
  const isReplaced = (edit: NameEdit) =>
    edit.directory === newer.directory && edit.name === newer.name;
  return { ...older, edits: older.edits.filter((edit) => !isReplaced(edit)) };
}
