/** One file of types for each entry: what can be reached from what it exports, and nothing of what lies behind. */
import { dirname, join } from "node:path";
import ts from "typescript";

/** The compiler's view of `src/` in `root`. Throws what it complains of. */
export function compiled(root) {
  const config = ts.getParsedCommandLineOfConfigFile(
    join(root, "tsconfig.build.json"),
    {},
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: fail },
  );
  const program = ts.createProgram(config.fileNames, { ...config.options, outDir: undefined });
  for (const found of ts.getPreEmitDiagnostics(program)) fail(found);
  return program;
}

/** The text of the declarations of `entries` (of `src/` in `root`), by name. Other entries import from `index` what it exports. */
export function declarations(program, root, entries) {
  const files = emitted(program);
  const index = exportsOf(files, files.get(join(root, "src/index.d.ts")));
  return Object.fromEntries(
    entries.map((name) => {
      const file = files.get(join(root, `src/${name}.d.ts`));
      return [name, rolled(files, file, name === "index" ? new Map() : index)];
    }),
  );
}

/** What the compiler writes for each source: its declarations and imports by name. Throws what the compiler complains of. */
function emitted(program) {
  const files = new Map();
  const { diagnostics } = program.emit(undefined, (path, text) => files.set(path, read(path, text)), undefined, true);
  for (const found of diagnostics) fail(found);
  return files;
}

function fail({ messageText, file }) {
  throw new Error(`${file?.fileName ?? ""}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
}

function read(path, text) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true);
  const file = { path, declared: new Map(), imported: new Map(), exported: new Map() };
  for (const node of source.statements) {
    const from = node.moduleSpecifier && join(dirname(path), node.moduleSpecifier.text.replace(/\.js$/, ".d.ts"));
    if (ts.isImportDeclaration(node)) {
      for (const one of node.importClause?.namedBindings?.elements ?? [])
        file.imported.set(one.name.text, [from, (one.propertyName ?? one.name).text]);
    } else if (ts.isExportDeclaration(node)) {
      for (const one of node.exportClause?.elements ?? [])
        file.exported.set(one.name.text, [from ?? path, (one.propertyName ?? one.name).text]);
    } else {
      const names = ts.isVariableStatement(node) ? node.declarationList.declarations.map((one) => one.name.text) : [node.name.text];
      for (const name of names) file.declared.set(name, node);
      if (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Export)
        for (const name of names) file.exported.set(name, [path, name]);
    }
  }
  return file;
}

/** Where each name of an entry is declared: the module's path and the name there. */
function exportsOf(files, entry) {
  return new Map([...entry.exported].map(([name, [path, original]]) => [name, place(files, path, original)]));
}

function place(files, path, name) {
  const file = files.get(path);
  if (file === undefined) throw new Error(`${path}: types of others are not rolled up`);
  if (file.declared.has(name)) return `${path} ${name}`;
  return place(files, ...(file.imported.get(name) ?? file.exported.get(name)));
}

function rolled(files, entry, elsewhere) {
  const exported = exportsOf(files, entry);
  const known = new Map([...elsewhere].map(([name, found]) => [found, name]));
  const needed = new Set();
  const texts = new Map();
  const visit = (found) => {
    const [path, name] = found.split(" ");
    if (known.has(found)) return void needed.add(known.get(found));
    if (texts.has(name)) {
      if (texts.get(name).found !== found) throw new Error(`two declarations are called ${name}`);
      return;
    }
    const file = files.get(path);
    const node = file.declared.get(name);
    texts.set(name, { found, text: shown(node, [...exported.values()].includes(found)) });
    const look = (part) => {
      if (isPrivate(part)) return;
      if (ts.isIdentifier(part) && (file.declared.has(part.text) || file.imported.has(part.text)))
        visit(place(files, path, part.text));
      ts.forEachChild(part, look);
    };
    ts.forEachChild(node, look);
  };
  for (const found of exported.values()) visit(found);
  const imports = needed.size > 0 ? `import type { ${[...needed].sort().join(", ")} } from "./index.cjs";\n` : "";
  return `${imports}${[...texts.values()].map(({ text }) => text).join("\n")}\nexport {};\n`;
}

/** A declaration with its comment; private members, which nobody can call, as one. */
function shown(node, isExported) {
  const source = node.getSourceFile();
  // A module's own comment may stand before that of its first declaration.
  const comment = ts.getLeadingCommentRanges(source.text, node.pos)?.at(-1);
  let text = source.text.slice(comment?.pos ?? node.getStart(), node.end);
  const hidden = ts.isClassDeclaration(node) ? node.members.filter(isPrivate) : [];
  for (const member of hidden) text = text.replace(member.getFullText(source), "");
  if (hidden.length > 0) text = text.replace(/\}$/, "    #private;\n}");
  return isExported ? text : text.replace(/^export (?:declare )?/m, (words) => (words.includes("declare") ? "declare " : ""));
}

function isPrivate(node) {
  return (
    (ts.canHaveModifiers(node) ? ts.getModifiers(node) : undefined)?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword) ??
    false
  );
}
