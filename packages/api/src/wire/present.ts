type Defined<T> = { [K in keyof T]: T[K] };

/** Drops absent fields, so that an object is the same before and after JSON. */
export function present<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
}
