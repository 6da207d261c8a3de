"""ksbuild on the administrator's workstation: profile -> plan -> tree -> medium."""
