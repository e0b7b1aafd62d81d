// The library: run a switch inside a program of one's own, or ask a running one. It loads on any system; starting a
// switch needs Linux and says so elsewhere.
//
//   const config = loadConfig({ portFlags: ["vm1=listen:/tmp/vm1.sock", "vm2=listen:/tmp/vm2.sock"] });
//   const running = await Switch.start(config, pino());
//   console.log(running.status().ports);
//   await running.stop();

export { ControlClient } from "./api/control-client.js";
export type * from "./api/status.js";
export { type ConfigSources, loadConfig } from "./config/load.js";
export { ConfigError } from "./config/problems.js";
export type { FdbConfig, PortConfig, SwitchConfig } from "./config/schema.js";
export { DROP_CAUSE_NAMES, DROP_CAUSE_TEXTS, type DropCause, dropCause, queueStatusText } from "./core/causes.js";
export { Switch } from "./switch/switch.js";
export { packageVersion } from "./version.js";
