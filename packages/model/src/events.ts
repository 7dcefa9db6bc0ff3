/** What an event is about. Kinds may be added. */
export interface EventResource {
  /** `gap` events are about the `log` itself. */
  kind:
    | 'instance'
    | 'image'
    | 'volume'
    | 'snapshot'
    | 'template'
    | 'pool'
    | 'operation'
    | 'daemon'
    | 'log'
    | (string & {});
  id: string;
  name: string;
}

/** A stored change. Sequence numbers have no gaps within one data directory. */
export interface InstanceEvent {
  seq: number;
  /** RFC 3339. */
  at: string;
  resource: EventResource;
  /** Empty where the event is about something else than an instance; so is the name. */
  instanceId: string;
  instanceName: string;
  /**
   * `created`, `state`, `operation`, `exit`, `deleted`, … A `gap` is stored nowhere: it stands for events that are not held any
   * more, `data.from` to `data.to`, or (`data.reason` is `ahead`) for a number that no event has had yet. Its own
   * number is the one to go on after.
   */
  type: string;
  data: Record<string, unknown>;
}

/** Which events; all conditions must hold. A `gap` is always told. */
export interface EventFilter {
  /** Id or name. Of a deleted one: its id, or the name it had last. */
  instance?: string;
  types?: readonly string[];
  /** Kinds of {@link EventResource}. */
  kinds?: readonly string[];
}

export interface EventOptions extends EventFilter {
  /** Stored events after this number first. 0: all that are held. Default: only new ones. */
  since?: number;
  /** End with the newest stored event instead of waiting for more. Default true: wait. */
  follow?: boolean;
  signal?: AbortSignal;
}
