/** The daemon that answers. What says where it is on its host is told on its unix socket only. */
export interface DaemonInfo {
  version: string;
  pid?: number;
  /** Its data directory. */
  home?: string;
  /** Where it listens on TCP, with the port that was bound; absent where it does not. */
  url?: string;
}
