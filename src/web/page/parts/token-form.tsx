// What is shown to somebody without the token: where it stands, and a field for it.

import { useState } from "preact/hooks";
import { keepToken } from "../stream.js";

export function TokenForm({ onToken }: { onToken(token: string): void }) {
  const [token, setToken] = useState("");
  return (
    <form
      class="token panel"
      onSubmit={(event) => {
        event.preventDefault();
        keepToken(token.trim());
        onToken(token.trim());
      }}
    >
      <h2>This switch wants its token</h2>
      <p>
        <code>ringbridge run --web</code> prints a URL with the token when it starts, another one each time, unless it
        was given one (<code>--web-token</code>, <code>web.token</code>). Open that URL, or enter the token here.
      </p>
      <label for="token">Token</label>
      <input
        id="token"
        type="password"
        autocomplete="off"
        spellcheck={false}
        value={token}
        onInput={(event) => setToken(event.currentTarget.value)}
      />
      <button type="submit" class="primary" disabled={token.trim() === ""}>
        Look
      </button>
    </form>
  );
}
