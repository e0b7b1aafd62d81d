// ringbridge/sim: scenarios as files, played on the lab's networks. Uses nothing of Node, so it runs in a page as well;
// `ringbridge sim` is the command around it. See docs/SCENARIOS.md.

export type { Check } from "./expectations.js";
export { type LoadedScenario, loadScenario } from "./load.js";
export { simulationJunit } from "./junit.js";
export { simulationReport } from "./report.js";
export type { FlowResult, GuestResult, LinkResult, RunResult } from "./result.js";
export { type Shrunk, type ShrinkOptions, shrink } from "./shrink.js";
export { type Failure, type SwarmOptions, type SwarmResult, swarm } from "./swarm.js";
export { scenarioText } from "./write.js";
export { type Simulation, type SimulationOptions, type SimulationResult, simulate } from "./run.js";
