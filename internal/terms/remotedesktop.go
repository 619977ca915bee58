package terms

// InstallsOn reports whether a Remote Desktop licence made for one version of
// Windows Server can be installed on a licence server that runs another: on
// its own version and on later ones. Versions are years, such as "2019".
// (Microsoft's compatibility table for licence servers: Server 2016 licences on
// 2016 and 2019, Server 2019 licences on 2019 but not on 2016.)
func InstallsOn(licence, server string) bool { return server >= licence }
