// An asc transform: a function whose doc comment has the tag `@inline` is compiled as if it had that decorator.
// AssemblyScript allows decorators on functions, TypeScript does not: with a tag every editor, formatter and linter
// for TypeScript reads our sources.

import { Node, NodeKind } from "assemblyscript";
import { Transform } from "assemblyscript/transform";

export default class InlineTransform extends Transform {
  afterParse(parser) {
    for (const source of parser.sources) {
      if (source.isLibrary) continue;
      for (const statement of source.statements) {
        if (statement.kind !== NodeKind.FunctionDeclaration) continue;
        if (!hasInlineTag(source.text, statement.range.start)) continue;
        const { range } = statement.name;
        const decorator = Node.createDecorator(Node.createIdentifierExpression("inline", range), null, range);
        statement.decorators = [...(statement.decorators ?? []), decorator];
      }
    }
  }
}

/** Does the doc comment that ends right before `start` hold the tag? */
function hasInlineTag(text, start) {
  const before = text.slice(0, start).trimEnd();
  if (!before.endsWith("*/")) return false;
  return /(^|\s|\*)@inline\b/.test(before.slice(before.lastIndexOf("/**")));
}
