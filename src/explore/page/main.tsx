// The explorer's page: loads the core, then draws.

import { render } from "preact";
import { loadCore } from "./core-files.js";
import { applyTheme, ThemeButton } from "./parts/theme.js";

applyTheme();
const root = document.getElementById("app")!;

try {
  const { hash, release } = await loadCore();
  render(
    <main>
      <h1>The virtqueue explorer</h1>
      <ThemeButton />
      <p>
        Core <code>{hash}</code>, traced build of <code>{release}</code>.
      </p>
    </main>,
    root,
  );
} catch (error) {
  render(<p class="error">{(error as Error).message}</p>, root);
}
