/** One family of series, as Prometheus knows it. */
export interface Family {
  readonly name: string;
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
  /** Upper bounds, in the base unit. Only of histograms. */
  readonly buckets?: readonly number[];
}

const gauge = (name: string, help: string, ...labels: string[]): Family => ({
  name: `vivarium_${name}`,
  type: 'gauge',
  help,
  labels,
});
const counter = (name: string, help: string, ...labels: string[]): Family => ({
  ...gauge(name, help, ...labels),
  type: 'counter',
});

/** Every family there is, in base units. docs/observability.md has the same list, and the dashboard asks for no other. */
export const families = {
  build: gauge('build_info', 'Always 1; what runs here.', 'version', 'driver'),
  started: gauge('daemon_start_time_seconds', 'When the daemon began, since the epoch.'),
  daemonCpu: counter('daemon_cpu_seconds_total', "The daemon's own processor time."),
  daemonMemory: gauge('daemon_resident_memory_bytes', "The daemon's own resident memory."),
  lag: gauge('event_loop_lag_seconds', 'How late its turns came since the last scrape.', 'quantile'),

  hostCpu: counter('host_cpu_seconds_total', 'Processor time of the host, over all processors.', 'mode'),
  hostProcessors: gauge('host_processors', 'Processors of the host.'),
  hostMemory: gauge('host_memory_bytes', 'Memory of the host.'),
  hostMemoryAvailable: gauge(
    'host_memory_available_bytes',
    'Memory of the host that can be had without swapping.',
  ),
  disk: gauge('data_disk_bytes', 'Size of the file system that holds the data directory.'),
  diskAvailable: gauge('data_disk_available_bytes', 'What is free of it.'),

  instances: gauge('instances', 'Instances, by state.', 'state'),
  instanceInfo: gauge('instance_info', 'Always 1; an instance with a VMM.', 'id', 'name', 'state', 'image'),
  instanceCpus: gauge('instance_vcpus', 'Its vCPUs.', 'id', 'name'),
  instanceMemoryAsked: gauge('instance_memory_bytes', 'Memory that its guest has.', 'id', 'name'),
  instanceCpu: counter('instance_cpu_seconds_total', 'Processor time of its VMM.', 'id', 'name'),
  instanceMemory: gauge(
    'instance_resident_memory_bytes',
    'Resident memory of its VMM; pages of a template count for each.',
    'id',
    'name',
  ),
  instanceDisk: gauge('instance_disk_bytes', 'What its writable disk takes on the host.', 'id', 'name'),
  instanceRead: counter('instance_io_read_bytes_total', 'What its VMM read from storage.', 'id', 'name'),
  instanceWritten: counter('instance_io_written_bytes_total', 'What its VMM wrote to storage.', 'id', 'name'),

  operations: {
    name: 'vivarium_operation_duration_seconds',
    type: 'histogram',
    help: 'Operations that have ended.',
    labels: ['action', 'outcome'],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
  },
  operationsRunning: gauge('operations_running', 'Operations under way, by action.', 'action'),

  requests: {
    name: 'vivarium_http_request_duration_seconds',
    type: 'histogram',
    help: 'HTTP requests, to the end of their answers.',
    labels: ['route', 'method', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
  },
  sockets: gauge('websockets', 'Open WebSockets, by route.', 'route'),
  eventReaders: gauge('event_readers', 'Streams of events that are being read.'),
  eventsStored: gauge('events_stored', 'Events that are held.'),
  events: counter('events_total', 'Number of the newest event.'),

  images: gauge('images', 'Images in the store.'),
  imageBytes: gauge('images_bytes', 'What their layers take; shared ones count for each.'),
  templates: gauge('templates', 'Templates, by level.', 'level'),
  templateBytes: gauge('templates_bytes', 'What the files of templates take.'),
  snapshots: gauge('snapshots', 'Snapshots.'),
  volumes: gauge('volumes', 'Volumes.'),
  volumeBytes: gauge(
    'volumes_bytes',
    'What their disks take on the host; layers that clones share count for each.',
  ),
  poolSize: gauge('pool_size', 'Places of a pool.', 'pool'),
  poolReady: gauge('pool_ready', 'VMs that it can hand out at once.', 'pool'),
  poolCreating: gauge('pool_creating', 'VMs that are being made for it.', 'pool'),
  poolAcquired: gauge('pool_acquired', 'VMs that were handed out and not given back.', 'pool'),
} as const satisfies Record<string, Family>;
