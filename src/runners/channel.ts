/** The descriptor on which reporters write DriverEvents, and the variable that says so to them. */
export const channelFd = 3
export const channelVariable = 'MUSTER_CHANNEL_FD'
