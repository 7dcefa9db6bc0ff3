import {
  hasEnded,
  type OperationListOptions,
  type OperationReport,
  type Operations,
  VivError,
} from '@vivarium/model';

/** Operations that are as a test put them, until they are cancelled. */
export class FakeOperations implements Operations {
  readonly reports: OperationReport[] = [];
  readonly asked: OperationListOptions[] = [];

  /** One more, under way unless it says otherwise. */
  add(action: string, more: Partial<OperationReport> = {}): OperationReport {
    const id = `op${this.reports.length + 1}`;
    const report: OperationReport = {
      id,
      action,
      state: 'running',
      startedAt: '2026-01-02T03:04:05.000Z',
      ...more,
    };
    this.reports.unshift(report);
    return report;
  }

  async list(options: OperationListOptions = {}) {
    this.asked.push(options);
    const { states, actions, limit = 100 } = options;
    const items = this.reports.filter(
      ({ state, action }) =>
        (states === undefined || states.includes(state)) &&
        (actions === undefined || actions.includes(action)),
    );
    return { items: items.slice(0, limit) };
  }

  async *all(options: OperationListOptions = {}) {
    yield* (await this.list(options)).items;
  }

  async get(id: string): Promise<OperationReport> {
    const found = this.reports.find((report) => report.id === id);
    if (found === undefined) throw new VivError('not_found', `No operation has the id ${id}`);
    return found;
  }

  async wait(id: string, { timeoutMs }: { timeoutMs?: number } = {}): Promise<OperationReport> {
    const report = await this.get(id);
    if (!hasEnded(report)) throw new VivError('timeout', `not within ${timeoutMs} ms`);
    return report;
  }

  async cancel(id: string): Promise<OperationReport> {
    const report = await this.get(id);
    if (!hasEnded(report)) Object.assign(report, { state: 'cancelled' });
    return report;
  }

  async *watch(id: string) {
    yield { operation: await this.get(id) };
  }
}
