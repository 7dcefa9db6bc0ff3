import type { NicSpec } from '../drivers/driver.ts';

/** Gives instances their network card. The card is kept with the instance, and so is the same at every start. */
export interface NetworkBackend {
  readonly kind: NicSpec['backend']['kind'];
  /**
   * A card for an instance that has none. Address and subnet differ from those in use.
   *
   * @throws VivError `insufficient_resources` where every subnet is in use.
   */
  allocate(instanceId: string, inUse: readonly NicSpec[]): NicSpec;
  /** The instance is gone. */
  release(nic: NicSpec): void;
}
