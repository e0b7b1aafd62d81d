// A port behind a virtual IOMMU: the front-end's translations become the regions that the core looks addresses up in, and
// what the core lacks is asked for.

import type { Bridge } from "../core/bridge.js";
import type { BridgePort } from "../core/bridge-port.js";
import { TranslationLists, type TranslatedRegion } from "../core/translation-lists.js";
import type { Reactor } from "../sys/reactor.js";
import type { Fd, Translation } from "../vhost-user/effects.js";
import { lookUp } from "../vhost-user/iotlb.js";
import { BackEndRequests } from "./back-end-requests.js";
import type { Mapping } from "./guest-memory.js";
import {
  accessOf,
  FOR_RECEIVING,
  FOR_RING,
  FOR_SENDING,
  IotlbQuestions,
  pageOf,
  type Question,
} from "./iotlb-questions.js";

/** So long frames wait for a ring of which nobody says where it lies. */
const PAUSE_MS = 1000;
/** A refusal that is repeated after so long is no race. */
const REFUSED_MS = 1000;
/** Refused questions of which that is remembered. */
const REFUSED_MAX = 64;

export class PortIotlb {
  private requests: BackEndRequests | undefined;
  private entries: readonly Translation[] = [];
  private readonly questions: IotlbQuestions;
  /** What rings wait for that do not run yet: no worker asks for them. */
  private readonly awaited = new Set<Question>();
  /** Questions to which there was no answer, and when first: a guest that takes a buffer back is in a race with us. */
  private readonly refused = new Map<Question, number>();
  /** It was told of a translation that can not be used, and says so with each answer: the operator has been told why. */
  private refusedOurselves = false;

  constructor(
    private readonly bridge: Bridge,
    private readonly port: BridgePort,
    private readonly mappings: readonly Mapping[],
    private readonly reactor: Reactor,
    private readonly fail: (text: string) => void,
  ) {
    this.questions = new IotlbQuestions(
      (question) => this.requests?.askTranslation(question, pageOf(question), accessOf(question)) ?? false,
      (question) => this.isKnown(question),
    );
  }

  /** Effect setFeatures: whether addresses are to be translated. */
  async setTranslated(on: boolean): Promise<void> {
    if (on === (this.port.translations !== undefined)) return;
    this.entries = [];
    this.forgetQuestions();
    await this.bridge.setTranslations(this.port, on ? new TranslationLists() : undefined);
  }

  /**
   * Effect setTranslations. Throws an Error, and leaves everything as it was, when an entry lies in memory that is not
   * mapped whole: its pieces move, so that no fixed place can be given for it.
   */
  async setTranslations(entries: readonly Translation[]): Promise<void> {
    const lists = this.port.translations;
    if (lists === undefined) return;
    const { at, removed, added } = difference(this.entries, entries);
    this.refusedOurselves = true;
    const regions = added.map((entry) => this.regionOf(entry));
    this.refusedOurselves = false;
    lists.splice(at, removed.length, regions);
    this.entries = entries;
    if (entries.length === 0) this.forgetQuestions();
    for (const question of this.awaited) if (this.isKnown(question)) this.awaited.delete(question);
    // The next question first: the front-end is not to wait for us.
    this.questions.answered();
    const kept = removed.every((old) => added.some((entry) => holds(entry, old)));
    await this.bridge.setTranslations(this.port, lists, kept ? "added" : "any");
  }

  /** Effect setBackendSocket. Throws an Error, and keeps the socket before, when the new one is none. */
  setSocket(fd: Fd | null, needReply: boolean): void {
    const onAnswer = (question: Question, refused: boolean) => this.onAnswer(question, refused);
    const onLost = (reason: string) => this.fail(`the socket for our own requests cannot be used any more: ${reason}`);
    const { reactor } = this;
    const next = fd === null ? undefined : new BackEndRequests({ fd, needReply, reactor, onAnswer, onLost });
    this.requests?.stop();
    this.requests = next;
    this.questions.clear();
    this.refused.clear();
  }

  /** Effect askTranslation: asks until there is an answer, or nothing is known any more. */
  askFor(iova: bigint, permission: number): void {
    const question = pageOf(iova) | BigInt(permission);
    this.awaited.add(question);
    this.questions.add(question, FOR_RING);
    this.questions.go();
  }

  /** Asks for what the workers have missed. */
  askForMisses(): void {
    for (const queue of this.port.queues.values()) {
      if (!queue.running) continue;
      const purpose = queue.isReceiveq ? FOR_RECEIVING : FOR_SENDING;
      for (const miss of queue.takeMisses()) this.questions.add(miss, purpose);
    }
    this.questions.go();
  }

  /** Now and then: a question may have been lost, or not been sent; and nobody may answer at all. */
  async tick(): Promise<void> {
    if (this.port.translations === undefined) return;
    for (const question of this.awaited) this.questions.add(question, FOR_RING);
    for (const question of this.refused.keys()) if (this.isKnown(question)) this.refused.delete(question);
    this.questions.expire();
    this.askForMisses();
    for (const queue of this.port.queues.values()) {
      if (queue.running) this.bridge.askAgain(queue);
      else if (queue.paused && performance.now() - queue.pausedAt > PAUSE_MS) {
        await this.bridge.stopQueue(this.port, queue.index);
      }
    }
  }

  private forgetQuestions(): void {
    this.questions.forgetWaiting();
    this.awaited.clear();
  }

  private isKnown(question: Question): boolean {
    return lookUp(this.entries, pageOf(question), 1n, accessOf(question)).kind === "found";
  }

  private onAnswer(question: Question, refused: boolean): void {
    if (refused) this.noteRefusal(question);
    this.questions.done(question);
  }

  private noteRefusal(question: Question): void {
    if (this.refusedOurselves) return;
    const first = this.refused.get(question);
    if (first === undefined) {
      if (this.refused.size < REFUSED_MAX) this.refused.set(question, performance.now());
    } else if (performance.now() - first > REFUSED_MS) {
      this.fail(
        `the front-end has no translation for 0x${pageOf(question).toString(16)}, which the guest has given as a buffer ` +
          "or ring; what is there has to wait",
      );
    }
  }

  private regionOf(entry: Translation): TranslatedRegion {
    return {
      guestAddress: entry.iova,
      size: entry.size,
      window: this.windowOf(entry),
      permission: entry.permission,
    };
  }

  private windowOf({ iova, size, userAddress }: Translation): number {
    for (const mapping of this.mappings) {
      const start = userAddress - mapping.userAddress;
      if (start < 0n || start + size > mapping.size) continue;
      if (mapping.chunked === undefined) return mapping.window + Number(start);
      throw new Error(
        `the guest's memory at 0x${mapping.guestAddress.toString(16)} is too large to be mapped whole, which a guest ` +
          "behind a virtual IOMMU needs: give it less memory, or no iommu_platform=on",
      );
    }
    throw new Error(`the translation of 0x${iova.toString(16)} leads to memory that is not mapped`);
  }
}

/** Where two lists that share most of their entries differ: what went, and what came to its place. */
function difference(
  before: readonly Translation[],
  after: readonly Translation[],
): { at: number; removed: readonly Translation[]; added: readonly Translation[] } {
  const shorter = Math.min(before.length, after.length);
  let at = 0;
  while (at < shorter && before[at] === after[at]) at++;
  let behind = 0;
  while (behind < shorter - at && before.at(-1 - behind) === after.at(-1 - behind)) behind++;
  return { at, removed: before.slice(at, before.length - behind), added: after.slice(at, after.length - behind) };
}

/** Whether all that an entry said is said by another one too. */
function holds(entry: Translation, old: Translation): boolean {
  return (
    entry.iova <= old.iova &&
    entry.iova + entry.size >= old.iova + old.size &&
    entry.userAddress - entry.iova === old.userAddress - old.iova &&
    (entry.permission & old.permission) === old.permission
  );
}
