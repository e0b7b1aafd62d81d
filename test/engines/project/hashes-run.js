// The digests as one line of JSON, for engines that have a console.

import { hashes } from "./hashes.js";

console.log(JSON.stringify(await hashes()));
