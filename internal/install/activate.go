package install

import (
	"strings"

	"github.com/license-operator/license-operator/internal/keys"
)

// activate has a place for the key. slmgr.vbs ends with the number of the
// error it got, as its text shows (no page says so): an HRESULT, which is
// negative, so that "if errorlevel 1" would not notice it. It ends with 0 if it
// found nothing to activate, or if Windows is not activated though no error
// was reported: only what it prints tells that, in the language of Windows.
const activate = `@echo off
setlocal
rem Installs a product key for Windows and activates Windows with it, online.
rem Run this at an elevated prompt (Run as administrator), with access to the internet.
rem An earlier key is replaced. Keep this file as safe as the key in it.

cscript //nologo "%windir%\System32\slmgr.vbs" /ipk $KEY
if %errorlevel% neq 0 goto failed
cscript //nologo "%windir%\System32\slmgr.vbs" /ato
if %errorlevel% neq 0 goto failed
echo Read above whether Windows says that it is activated.
exit /b 0

:failed
set code=%errorlevel%
echo This did not work, with error %code%: is this an elevated prompt, and is the key for this edition of Windows?
exit /b %code%
`

// ActivateScript is a batch file that activates Windows with a multiple
// activation key (MAK): slmgr.vbs /ipk installs it, and /ato activates with it
// ("Slmgr.vbs options for obtaining volume activation information"). It ends
// with the error level of the step that failed.
//
// It is for keys of Windows only: without an activation ID /ato activates
// Windows, whatever the key was for, and Office has a script of its own,
// ospp.vbs ("Tools to manage volume activation of Office").
func ActivateScript(key string) ([]byte, error) {
	if !keys.Is5x5(key) {
		return nil, errKey
	}
	text := strings.Replace(activate, "$KEY", key, 1)
	return []byte(strings.ReplaceAll(text, "\n", "\r\n")), nil
}
