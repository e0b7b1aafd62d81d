// How the texts of options are read. What cannot be is refused by commander, which names the option.

import { InvalidArgumentError } from "commander";

/** An option that may be given again. */
export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** Digits as a number; anything else stays as it is, for the configuration's checks to name. */
export function numberOrText(text: string): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Number.POSITIVE_INFINITY)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
}

export function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1 on.");
  return Number(text);
}

export function tcpPort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) {
    throw new InvalidArgumentError("It must be a whole number from 0 to 65535.");
  }
  return Number(text);
}

export function seedNumber(text: string): number {
  const value = Number(text);
  if (!/^\d{1,10}$/.test(text) || value > 0xffff_ffff) {
    throw new InvalidArgumentError("It must be a whole number from 0 to 4294967295.");
  }
  return value;
}

export function niceValue(text: string): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || value < -20 || value > 19) {
    throw new InvalidArgumentError("It must be a whole number from -20 to 19.");
  }
  return value;
}

export function frameSize(text: string): number | "imix" {
  if (text === "imix") return text;
  const size = Number(text);
  if (!/^\d+$/.test(text) || size < 64 || size > 65_535) {
    throw new InvalidArgumentError('It must be "imix" or a whole number from 64 to 65535.');
  }
  return size;
}
