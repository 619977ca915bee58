@echo off
setlocal
rem Installs a product key for Windows and activates Windows with it, online.
rem Run this at an elevated prompt (Run as administrator), with access to the internet.
rem An earlier key is replaced. Keep this file as safe as the key in it.

cscript //nologo "%windir%\System32\slmgr.vbs" /ipk DEMOK-6Y7X8-QGBWV-3WBRY-Q8V6Q
if %errorlevel% neq 0 goto failed
cscript //nologo "%windir%\System32\slmgr.vbs" /ato
if %errorlevel% neq 0 goto failed
echo Read above whether Windows says that it is activated.
exit /b 0

:failed
set code=%errorlevel%
echo This did not work, with error %code%: is this an elevated prompt, and is the key for this edition of Windows?
exit /b %code%
