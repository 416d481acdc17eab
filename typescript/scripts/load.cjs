/**
 * The ESM files for CommonJS. There is one copy of the code, so what `import` and what `require` got are the same classes.
 *
 * Bundlers and Node from 20.19 on give an ESM file to `require`. Earlier Node 20 and Jest refuse: for them the imports and exports, which
 * the build always writes in the same way, are put into the words of CommonJS.
 */
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { compileFunction } = require("node:vm");

const IMPORT = /\bimport\s*(?:(\w+|\$[\w$]*)\s*from|\*\s*as\s+([\w$]+)\s*from|\{([^{}]*)\}\s*from)?\s*"([^"\s]+)";/g;
const LATER = /\bimport\(("node:\w+")\)/g;
const EXPORT = /\bexport\s*\{([^{}]*)\};?\s*$/;
const loaded = new Map();

function translated(name) {
  if (loaded.has(name)) return loaded.get(name);
  const exported = {};
  loaded.set(name, exported);
  const filename = join(__dirname, name);
  const code = readFileSync(filename, "utf8")
    .replace(IMPORT, (_, whole, all, some, from) => {
      const found = `require("${from}");`;
      return whole || all ? `const ${whole || all}=${found}` : some ? `const{${some.replace(/\s+as\s+/g, ":")}}=${found}` : found;
    })
    .replace(LATER, "Promise.resolve(require($1))")
    .replace(EXPORT, (_, names) => `Object.assign(exports,{${names.replace(/([\w$]+)\s+as\s+([\w$]+)/g, "$2:$1")}});`);
  const requiring = (from) => (from.startsWith("./") ? translated(from.slice(2)) : require(from));
  compileFunction(code, ["exports", "require"], { filename })(exported, requiring);
  return exported;
}

/** The exports of the file `name`; `direct` requires it as Node or a bundler would. */
module.exports = (name, direct) => {
  try {
    return direct();
  } catch (err) {
    if (err.code !== "ERR_REQUIRE_ESM") throw err;
    return translated(name);
  }
};
