// For teachers: plans for lessons of an hour and of a day, questions for the class, what to have ready.

import { TEACHING } from "../lessons/teach.js";
import { Prose } from "./parts/prose.js";

export function Teach() {
  return (
    <main id="main" class="teach prose">
      <h1>For teachers</h1>
      {TEACHING.map(({ title, text }) => (
        <section key={title}>
          <h2>{title}</h2>
          <Prose text={text} />
        </section>
      ))}
    </main>
  );
}
