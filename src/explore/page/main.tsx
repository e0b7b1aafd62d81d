// The explorer's page: loads the core, then draws what the URL says.

import { render } from "preact";
import { App } from "./app.js";
import { loadCore } from "./core-files.js";
import { startLighting } from "./lit.js";
import { applyTheme } from "./parts/theme.js";

applyTheme();
startLighting();
const root = document.getElementById("app")!;

try {
  render(<App files={await loadCore()} />, root);
} catch (error) {
  render(
    <p class="error" role="alert">
      {(error as Error).message}
    </p>,
    root,
  );
}
