/** Members that nobody outside can name: the compiler knows every place that means one, so the build can shorten them. */
import ts from "typescript";

/** What such members are called in what `renamed` gives. */
export const INNER = /^\$inner[0-9]+$/;

/**
 * The sources of `program`, by path. Private members, and all members of classes that are not `isPublic` (by name), are called `$inner0`,
 * `$inner1` and so on, in every class anew and those that are used most first: the fewer names there are, the better they compress.
 */
export function renamed(program, isPublic) {
  const checker = program.getTypeChecker();
  const sources = program.getSourceFiles().filter((file) => !file.isDeclarationFile);
  const uses = new Map(sources.map((file) => [file, usesIn(file, checker, isPublic)]));
  const names = namesOf([...uses.values()].flat());
  const texts = new Map([...uses].map(([file, found]) => [file.fileName, written(file, found, names)]));
  check(program, texts);
  return texts;
}

/** A place that was missed is one where the compiler finds no such member. */
function check(program, texts) {
  const host = ts.createCompilerHost(program.getCompilerOptions());
  const { getSourceFile } = host;
  host.getSourceFile = (path, options) =>
    texts.has(path)
      ? ts.createSourceFile(path, texts.get(path), options)
      : (program.getSourceFile(path) ?? getSourceFile(path, options));
  const again = ts.createProgram(program.getRootFileNames(), program.getCompilerOptions(), host);
  for (const { messageText, file } of again.getSemanticDiagnostics()) {
    throw new Error(`${file?.fileName}, renamed: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
  }
}

/** Every place in `file` that means an inner member: the node, the member's declaration, and what has to stand around its name. */
function usesIn(file, checker, isPublic) {
  const found = [];
  const look = (node) => {
    if (ts.isIdentifier(node)) {
      const { parent, text } = node;
      const isTaken =
        ts.isBindingElement(parent) && ts.isObjectBindingPattern(parent.parent) && (parent.propertyName ?? parent.name) === node;
      const isGiven = ts.isShorthandPropertyAssignment(parent);
      const symbol = isTaken
        ? checker.getTypeAtLocation(parent.parent).getProperty(text)
        : isGiven
          ? checker.getShorthandAssignmentValueSymbol(parent)
          : checker.getSymbolAtLocation(node);
      const member = symbol?.declarations?.find((one) => isInner(one, isPublic));
      // `const { name } = this` names the member and the constant; `{ name }` a key and what a constructor was given as the member.
      const [before, behind] = [isGiven ? `${text}: ` : "", isTaken && !parent.propertyName ? `: ${text}` : ""];
      if (member) found.push({ node, member, before, behind });
    }
    ts.forEachChild(node, look);
  };
  look(file);
  return found;
}

function isInner(declaration, isPublic) {
  if (declaration.getSourceFile().isDeclarationFile) return false;
  const isProperty = ts.isParameter(declaration) && ts.isParameterPropertyDeclaration(declaration, declaration.parent);
  const owner = isProperty ? declaration.parent.parent : declaration.parent;
  if (!ts.isClassDeclaration(owner) || !declaration.name || !ts.isIdentifier(declaration.name)) return false;
  const isPrivate = ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Private;
  // What extends another class may only have what that one names.
  return isPrivate || (!owner.heritageClauses && !isPublic(owner.name.text));
}

function namesOf(uses) {
  const classes = new Map();
  for (const { member } of uses) {
    const owner = ts.findAncestor(member, ts.isClassDeclaration);
    const counts = classes.get(owner) ?? new Map();
    classes.set(owner, counts.set(member, (counts.get(member) ?? 0) + 1));
  }
  const names = new Map();
  for (const counts of classes.values()) {
    const sorted = [...counts].sort(([, one], [, other]) => other - one);
    for (const [at, [member]] of sorted.entries()) names.set(member, `$inner${at}`);
  }
  return names;
}

function written(file, uses, names) {
  return uses.reduceRight(
    (text, { node, member, before, behind }) =>
      text.slice(0, node.getStart()) + before + names.get(member) + behind + text.slice(node.end),
    file.text,
  );
}
