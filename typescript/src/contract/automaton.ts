/**
 * Many patterns as one automaton: linear in the text, whatever the pattern (Thompson 1968; states are built when they are first met).
 *
 * JavaScript's regular expressions backtrack, so `(a+)+$` in an organisation's policy would hang the agent that it protects. Here a
 * text costs one step for each character; a step that was seen before is a look-up, a new one is bounded by `MAX_NODES`. What is
 * remembered is bounded too.
 */
import { tool } from "./names.js";
import { type Chars, chars, type Node } from "./syntax.js";
import { bisectRight, casefold, codeOf, isDecimal, isSpace, isWord, nfkc } from "./text.js";

const MAX_NODES = 10_000;
const MAX_STATES = 1000;
const MAX_WEIGHT = 100_000;
const MAX_CHARS = 4096;
const FOLDED_RANGE = 512;

const [BEGIN, PLAIN, WORD, END] = [0, 1, 2, 3];

/** One step: `chars` wait for a character of a set, `split` goes two ways, `look` asks for an edge, `match` is the end of a tree. */
type Step =
  | readonly ["chars", set: number, next: number]
  | readonly ["split", one: number, other: number]
  | readonly ["look", kind: string, next: number]
  | readonly ["match", tree: number, next: 0];

type Ahead = readonly [waiting: readonly number[], matched: readonly number[]];

/** What may come next after one text: `core` are steps, `before` is the kind of the last character. */
class State {
  readonly to: (State | undefined)[] = [];
  readonly ahead: (Ahead | undefined)[] = [];
  constructor(
    readonly core: readonly number[],
    readonly before: number,
  ) {}
}

/**
 * All `trees` at once; `match` says which of them match the whole text. `folds`: they are compared with what `tool` made of the text,
 * so letters stand for their folded forms. Throws RangeError when the patterns are too large together.
 */
export class Automaton {
  private readonly steps: Step[] = [];
  private readonly sets: Chars[] = [];
  private readonly setIds = new Map<string, number>();
  private readonly looks: boolean;
  private readonly cuts: number[];
  private readonly classIds = new Map<number, number>();
  private readonly examples: string[] = [];
  private readonly known = new Map<string, number>();
  private readonly holds: (boolean | undefined)[][];
  private readonly root: number[];
  private states = new Map<string, State>();
  private weight = 0;

  constructor(
    trees: readonly Node[],
    private readonly folds = false,
  ) {
    this.root = trees.map((tree, at) => this.build(tree, this.step(["match", at, 0])));
    this.looks = this.steps.some(([kind, what]) => kind === "look" && (what === "b" || what === "B"));
    const edges = this.sets.flatMap((set) => set.ranges.flatMap(([low, high]) => [low, high + 1]));
    this.cuts = [...new Set(edges)].sort((one, other) => one - other);
    this.holds = this.sets.map(() => []);
  }

  /** The trees that match the whole of `text`, in order. */
  match(text: string): readonly number[] {
    let state = this.state(this.root, BEGIN as number);
    for (const char of text) {
      const key = this.known.get(char) ?? this.classify(char);
      state = state.to[key] ?? this.advance(state, key);
      if (state.core.length === 0) return [];
    }
    return this.lookAhead(state, END as number)[1];
  }

  // --- building

  private step(step: Step): number {
    if (this.steps.length >= MAX_NODES) {
      throw new RangeError(`the patterns are too large: more than ${MAX_NODES} steps when repeats are written out`);
    }
    return this.steps.push(step) - 1;
  }

  /** The step that begins `tree` and goes on to `next`. */
  private build(tree: Node, following: number): number {
    let next = following;
    switch (tree.type) {
      case "chars":
        return this.buildChars(tree, next);
      case "assertion":
        return this.step(["look", tree.kind, next]);
      case "sequence":
        for (const part of tree.parts.toReversed()) next = this.build(part, next);
        return next;
      case "choice": {
        let start = this.build(tree.options.at(-1) as Node, next);
        for (const option of tree.options.slice(0, -1).reverse()) start = this.step(["split", this.build(option, next), start]);
        return start;
      }
      case "repeat":
        if (tree.most === undefined) {
          const loop = this.step(["split", next, next]);
          this.steps[loop] = ["split", this.build(tree.part, loop), next];
          next = loop;
        } else {
          for (let left = tree.most - tree.least; left > 0; left--)
            next = this.step(["split", this.build(tree.part, next), following]);
        }
        for (let left = tree.least; left > 0; left--) next = this.build(tree.part, next);
        return next;
    }
  }

  private buildChars(stated: Chars, following: number): number {
    let [set, next] = [stated, following];
    if (this.folds) {
      const [low, high] = set.ranges[0] ?? [0, 1];
      if (low === high && set.ranges.length === 1 && set.classes === "" && !set.negated) {
        const char = String.fromCodePoint(low);
        for (const part of [...(isSpace(char) ? " " : tool(char))].reverse()) {
          const code = codeOf(part);
          next = this.step(["chars", this.setOf(chars([[code, code]])), next]);
        }
        return next;
      }
      set = foldedSet(set);
    }
    return this.step(["chars", this.setOf(set), next]);
  }

  private setOf(set: Chars): number {
    const key = `${set.negated}${set.classes}:${set.ranges.join(";")}`;
    let id = this.setIds.get(key);
    if (id === undefined) {
      id = this.sets.push(set) - 1;
      this.setIds.set(key, id);
    }
    return id;
  }

  // --- running

  private state(core: readonly number[], before: number): State {
    const key = `${before}:${core.join(",")}`;
    let state = this.states.get(key);
    if (state === undefined) {
      if (this.states.size >= MAX_STATES || this.weight > MAX_WEIGHT) {
        this.states = new Map();
        this.weight = 0;
      }
      state = new State(core, before);
      this.states.set(key, state);
      this.weight += core.length;
    }
    return state;
  }

  private advance(state: State, key: number): State {
    const after = (isWord(this.examples[key] as string) ? WORD : PLAIN) as number;
    const core = new Set<number>();
    for (const at of this.lookAhead(state, after)[0]) {
      const [, set, next] = this.steps[at] as ["chars", number, number];
      if (this.contains(set, key)) core.add(next);
    }
    const sorted = [...core].sort((one, other) => one - other);
    const following = this.state(sorted, this.looks ? after : (PLAIN as number));
    state.to[key] = following;
    return following;
  }

  /** Steps that wait for a character, and trees that match, when what follows is of the kind `after`. */
  private lookAhead(state: State, after: number): Ahead {
    const kind = !this.looks && after === WORD ? (PLAIN as number) : after;
    state.ahead[kind] ??= this.closure(state, kind);
    return state.ahead[kind];
  }

  private closure(state: State, after: number): Ahead {
    const waiting: number[] = [];
    const matched: number[] = [];
    const seen = new Set(state.core);
    const todo = [...state.core];
    for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
      const step = this.steps[at] as Step;
      if (step[0] === "chars") {
        waiting.push(at);
      } else if (step[0] === "match") {
        matched.push(step[1]);
      } else if (step[0] === "split" || isThere(step[1], state.before, after)) {
        for (const way of step[0] === "split" ? [step[1], step[2]] : [step[2]]) {
          if (!seen.has(way)) {
            seen.add(way);
            todo.push(way);
          }
        }
      }
    }
    return [waiting, matched.sort((one, other) => one - other)];
  }

  /** Characters that no pattern tells apart share a class. */
  private classify(char: string): number {
    const kinds = Number(isWord(char)) | (Number(isDecimal(char)) << 1) | (Number(isSpace(char)) << 2);
    const cell = bisectRight(this.cuts, codeOf(char)) * 8 + kinds;
    let key = this.classIds.get(cell);
    if (key === undefined) {
      key = this.examples.push(char) - 1;
      this.classIds.set(cell, key);
    }
    if (this.known.size < MAX_CHARS) this.known.set(char, key);
    return key;
  }

  private contains(set: number, key: number): boolean {
    const holds = this.holds[set] as (boolean | undefined)[];
    holds[key] ??= isMember(this.sets[set] as Chars, this.examples[key] as string);
    return holds[key];
  }
}

function isThere(kind: string, before: number, after: number): boolean {
  if (kind === "^") return before === BEGIN;
  if (kind === "$") return after === END;
  return ((before === WORD) !== (after === WORD)) === (kind === "b");
}

function isMember(set: Chars, char: string): boolean {
  const code = codeOf(char);
  const inside =
    set.ranges.some(([low, high]) => low <= code && code <= high) ||
    [...set.classes].some((letter) => {
      const small = letter.toLowerCase();
      return (small === "w" ? isWord(char) : small === "d" ? isDecimal(char) : isSpace(char)) === (letter === small);
    });
  return inside !== set.negated;
}

/** The set, with what its members become when a name is folded. */
function foldedSet(set: Chars): Chars {
  const more = new Set<number>();
  for (const [low, high] of set.ranges) {
    if (high - low >= FOLDED_RANGE) continue;
    for (let code = low; code <= high; code++) {
      const folded = casefold(nfkc(String.fromCodePoint(code)));
      const first = folded.codePointAt(0);
      if (first !== undefined && first !== code && folded.length === (first > 0xffff ? 2 : 1)) more.add(first);
    }
  }
  return more.size ? chars([...set.ranges, ...[...more].map((code) => [code, code] as const)], set.classes, set.negated) : set;
}
