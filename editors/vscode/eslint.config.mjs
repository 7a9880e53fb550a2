// What the compiler doesn't say: promises nobody waits for, `any` that spreads, loose comparisons.

import js from "@eslint/js";
import globals from "globals";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist/", "dist-*/", "node_modules/", ".vscode-test/", "test-output/", "test/workspace/"] },
  js.configs.recommended,
  {
    files: ["src/**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // A number reads as it should, and `() => say()` is how a listener is written here.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
  { files: ["**/*.mjs"], languageOptions: { globals: { ...globals.node, ...globals.browser } } },
  { files: ["test/**/*.js"], languageOptions: { sourceType: "commonjs", globals: globals.commonjs } },
  { rules: { eqeqeq: "error", curly: "error", "prefer-const": "error" } },
);
