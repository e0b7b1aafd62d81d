// The filter expressions of `ringbridge capture` and `replay`: the words of pcap-filter(7) that are used every day, with the
// meanings they have there but for one: VLAN tags hide nothing, `tcp port 80` matches behind them as well.
//
//   expression  = term { ("or" | "||") term }         term = factor { ("and" | "&&") factor }
//   factor      = ("not" | "!") factor | "(" expression ")" | primitive
//   primitive   = [protocol] [direction] ("host" ADDRESS | "net" ADDRESS/BITS | "port" N | "portrange" N-N)
//               | "ether" (direction | "host") MAC | "ether" "proto" TYPE | "proto" N | "vlan" [ID] | protocol
//               | "broadcast" | "multicast" | "inbound" | "outbound" | "dropped" | "less" N | "greater" N
//   protocol    = "arp" | "rarp" | "ip" | "ip6" | "tcp" | "udp" | "icmp" | "icmp6"        direction = "src" | "dst"
//
// A leaf.

import { ipBytes, macBytes } from "./address.js";
import { ALONE, byAddress, byPort, byProtocol, byType, type Filter, PROTOCOLS, sameBits } from "./match.js";

export type { Filter } from "./match.js";

/** What is wrong with an expression; the message names the column, counted from 1. */
export class FilterError extends Error {}

const TOKENS_MAX = 1000;
const DEPTH_MAX = 100;

const QUALIFIED = ["host", "net", "port", "portrange"];

/** Reads an expression; an empty one matches every frame. @throws FilterError */
export function parseFilter(text: string): Filter {
  const parser = new Parser(text);
  return parser.atEnd ? () => true : parser.whole();
}

interface Token {
  text: string;
  column: number;
}

class Parser {
  private readonly tokens: Token[];
  private next = 0;
  private depth = 0;

  constructor(private readonly text: string) {
    this.tokens = [...text.matchAll(/[()!]|&&|\|\||[^\s()!&|]+|[&|]/g)].map((match) => ({
      text: match[0],
      column: match.index + 1,
    }));
    if (this.tokens.length > TOKENS_MAX) throw new FilterError(`the filter has more than ${TOKENS_MAX} words`);
  }

  get atEnd(): boolean {
    return this.tokens.length === 0;
  }

  whole(): Filter {
    const filter = this.expression();
    const token = this.tokens[this.next];
    if (token) throw fault(token.column, `"and", "or" or the end must come here, not "${token.text}"`);
    return filter;
  }

  private expression(): Filter {
    const terms = [this.term()];
    while (this.accept("or", "||")) terms.push(this.term());
    return terms.length === 1 ? terms[0]! : (packet) => terms.some((term) => term(packet));
  }

  private term(): Filter {
    const factors = [this.factor()];
    while (this.accept("and", "&&")) factors.push(this.factor());
    return factors.length === 1 ? factors[0]! : (packet) => factors.every((factor) => factor(packet));
  }

  private factor(): Filter {
    if (++this.depth > DEPTH_MAX) throw fault(this.column, `more than ${DEPTH_MAX} levels of "not" and "("`);
    const filter = this.factorWithin();
    this.depth--;
    return filter;
  }

  private factorWithin(): Filter {
    if (this.accept("not", "!")) {
      const filter = this.factor();
      return (packet) => !filter(packet);
    }
    const open = this.accept("(");
    if (!open) return this.primitive();
    const filter = this.expression();
    if (!this.accept(")")) throw fault(this.column, `")" is missing, to close the "(" of column ${open.column}`);
    return filter;
  }

  private primitive(): Filter {
    const token = this.take('a word such as "host", "port", "tcp" or "arp"');
    const { text: word } = token;
    const alone = own(ALONE, word);
    if (alone) return alone;
    switch (word) {
      case "ether":
        return this.ether();
      case "vlan": {
        if (!/^\d/.test(this.peek ?? "")) return ({ vlans }) => vlans.length > 0;
        const id = this.number("a VLAN identifier", 4095);
        return ({ vlans }) => vlans.includes(id);
      }
      case "proto": {
        const protocol = this.number("an IP protocol number", 255);
        return byProtocol(protocol);
      }
      case "less": {
        const most = this.number("a length in bytes", 65_558);
        return ({ length }) => length <= most;
      }
      case "greater": {
        const least = this.number("a length in bytes", 65_558);
        return ({ length }) => length >= least;
      }
    }
    const protocol = own(PROTOCOLS, word);
    if (!protocol) {
      this.next--;
      return this.qualified(token);
    }
    const { peek } = this;
    if (peek === undefined || !["src", "dst", ...QUALIFIED].includes(peek)) return protocol;
    const rest = this.qualified(this.tokens[this.next]!);
    return (packet) => protocol(packet) && rest(packet);
  }

  /** [src | dst] (host | net | port | portrange) … */
  private qualified(first: Token): Filter {
    const direction = this.direction();
    const token = direction ? this.take(`one of ${QUALIFIED.join(", ")}`) : first;
    if (!direction) this.next++;
    const side = direction ?? "either";
    switch (token.text) {
      case "host": {
        const address = this.address();
        return byAddress(side, (other) => sameBits(other, address, address.length * 8));
      }
      case "net": {
        const { address, bits } = this.network();
        return byAddress(side, (other) => sameBits(other, address, bits));
      }
      case "port": {
        const port = this.number("a port number", 65_535);
        return byPort(side, port, port);
      }
      case "portrange": {
        const range = this.take("two port numbers such as 5000-5100");
        const [from, to] = /^\d{1,5}-\d{1,5}$/.test(range.text) ? range.text.split("-").map(Number) : [1, 0];
        if (from! > to! || to! > 65_535) throw fault(range.column, `"${range.text}" is no range of ports (5000-5100)`);
        return byPort(side, from!, to!);
      }
    }
    throw fault(token.column, `"${token.text}" is no word of filters (${words()})`);
  }

  private ether(): Filter {
    const direction = this.direction();
    if (!direction && this.accept("proto")) return byType(this.number("an EtherType such as 0x88cc", 0xffff));
    if (!this.accept("host") && !direction) throw fault(this.column, '"src", "dst", "host" or "proto" must come here');
    const token = this.take("a MAC address");
    const mac = macBytes(token.text);
    if (!mac) throw fault(token.column, `"${token.text}" is no MAC address (52:54:00:12:34:56)`);
    const at = (offset: number): Filter => {
      return ({ bytes }) => bytes.length >= offset + 6 && sameBits(bytes.subarray(offset, offset + 6), mac, 48);
    };
    const [destination, source] = [at(0), at(6)];
    if (direction) return direction === "src" ? source : destination;
    return (packet) => source(packet) || destination(packet);
  }

  private address(): Uint8Array {
    const token = this.take("an IP address");
    const address = ipBytes(token.text);
    if (!address) throw fault(token.column, `"${token.text}" is no IP address (names are not looked up)`);
    return address;
  }

  private network(): { address: Uint8Array; bits: number } {
    const token = this.take("a network such as 10.0.0.0/8");
    const [text, length, ...more] = token.text.split("/");
    const address = ipBytes(text!);
    const bits = length !== undefined && /^\d{1,3}$/.test(length) ? Number(length) : 999;
    if (!address || more.length > 0 || bits > address.length * 8)
      throw fault(token.column, `"${token.text}" is no network (10.0.0.0/8 or fd00::/8)`);
    return { address, bits };
  }

  private number(what: string, most: number): number {
    const token = this.take(what);
    const value = /^(\d{1,6}|0x[0-9a-f]{1,5})$/i.test(token.text) ? Number(token.text) : most + 1;
    if (value > most) throw fault(token.column, `"${token.text}" is not ${what} (0 to ${most})`);
    return value;
  }

  private direction(): "src" | "dst" | undefined {
    return this.accept("src", "dst")?.text as "src" | "dst" | undefined;
  }

  private get peek(): string | undefined {
    return this.tokens[this.next]?.text;
  }

  /** Where the next word is, or would be. */
  private get column(): number {
    return this.tokens[this.next]?.column ?? this.text.length + 1;
  }

  private accept(...words: string[]): Token | undefined {
    return this.peek !== undefined && words.includes(this.peek) ? this.tokens[this.next++] : undefined;
  }

  private take(what: string): Token {
    const token = this.tokens[this.next];
    if (!token || /^[()!&|]/.test(token.text)) throw fault(this.column, `${what} must come here`);
    this.next++;
    return token;
  }
}

function own<T>(table: Record<string, T>, word: string): T | undefined {
  return Object.hasOwn(table, word) ? table[word] : undefined;
}

function words(): string {
  return [...QUALIFIED, "src", "dst", "ether", "vlan", "proto", ...Object.keys(PROTOCOLS), ...Object.keys(ALONE)].join(
    ", ",
  );
}

function fault(column: number, text: string): FilterError {
  return new FilterError(`filter, column ${column}: ${text}`);
}
