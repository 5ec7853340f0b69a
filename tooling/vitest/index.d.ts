import type { ProjectConfig, UserWorkspaceConfig } from "vitest/config";
export declare const SOURCE: "@netmesh/source";
export declare function project(name: string, test?: ProjectConfig): UserWorkspaceConfig;
