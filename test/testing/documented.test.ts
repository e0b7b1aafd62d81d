// What `ringbridge/testing` offers is documented and typed: every exported name and every method has a docstring, and
// nothing is `any`. (Fields may stand below one that speaks for the row.)

import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const PRIVATE = ts.SyntaxKind.PrivateKeyword;
const ENTRIES = ["src/testing/index.ts", "src/testing/vitest.ts"];

const config = ts.parseConfigFileTextToJson("tsconfig.json", ts.sys.readFile(file("tsconfig.json"))!).config;
const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, file("."));
const program = ts.createProgram(
  ENTRIES.map((path) => file(path)),
  { ...options, incremental: false, tsBuildInfoFile: undefined, noEmit: true },
);
const checker = program.getTypeChecker();

/** Exported symbols behind their aliases, by name. */
function exportsOf(path: string): [string, ts.Symbol][] {
  const module = checker.getSymbolAtLocation(program.getSourceFile(file(path))!)!;
  return checker
    .getExportsOfModule(module)
    .map((symbol) => [symbol.name, symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol]);
}

function documented(symbol: ts.Symbol): boolean {
  return symbol.getDocumentationComment(checker).length > 0;
}

test("every exported name says what it is, and none is of any type", () => {
  const names = exportsOf(ENTRIES[0]!);
  expect(names.length).toBeGreaterThan(60);
  const silent = names.filter(([, symbol]) => !documented(symbol)).map(([name]) => name);
  expect(silent).toEqual([]);
  const values = names.filter(([, symbol]) => symbol.flags & ts.SymbolFlags.Value);
  expect(values.length).toBeGreaterThan(40);
  const untyped = values.filter(([, symbol]) => /\bany\b/.test(checker.typeToString(checker.getTypeOfSymbol(symbol))));
  expect(untyped.map(([name]) => name)).toEqual([]);
});

test("every method of an exported class says what it does", () => {
  const methods = exportsOf(ENTRIES[0]!)
    .flatMap(([name, { declarations = [] }]) => declarations.map((declaration) => ({ name, declaration })))
    .flatMap(({ name, declaration }) =>
      ts.isClassDeclaration(declaration)
        ? declaration.members.filter(isPublicMethod).map((member) => ({ name, member }))
        : [],
    );
  expect(methods.length).toBeGreaterThan(30);
  const silent = methods.filter(({ member }) => ts.getJSDocCommentsAndTags(member).length === 0);
  expect(silent.map(({ name, member }) => `${name}.${member.name?.getText()}`)).toEqual([]);
});

test("the matchers of vitest are documented, or stand below one that is", () => {
  const text = ts.sys.readFile(file(ENTRIES[1]!))!;
  const matchers = [...text.matchAll(/^ {2}(to\w+)\(.*\): R;$/gm)].map(([, name]) => name);
  const implemented = [...text.matchAll(/^ {2}(to\w+): \(/gm)].map(([, name]) => name);
  expect(matchers.length).toBeGreaterThan(5);
  expect(implemented.sort()).toEqual(matchers.sort());
  expect(text).not.toMatch(/interface LabMatchers<R> \{\n {2}to/);
});

function isPublicMethod(member: ts.ClassElement): boolean {
  const hidden = ts.canHaveModifiers(member) && ts.getModifiers(member)?.some((it) => it.kind === PRIVATE);
  return (ts.isMethodDeclaration(member) || ts.isAccessor(member)) && !hidden;
}
