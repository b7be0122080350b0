@echo off
rem Sets up {{IMAGE}} revision {{REVISION}} as the first image of this computer.
rem
rem Run it in an administrator's command prompt, in the folder of the kit, on Windows 7 or newer. It can be run again.
rem The exit code is 0 if everything is in place and checked, and 1 after a failure, which is reported.
setlocal EnableExtensions DisableDelayedExpansion
{{CODE_PAGE}}set "KIT=%~dp0MED-V Images\PrestagedImages"
set "IMAGES={{IMAGES}}"
set "PRESTAGED={{PRESTAGED}}"
set "INDEX={{INDEX}}"
set "TOOLS=%SystemRoot%\System32"

rem 1. The folders.
set "STEP=the folders could not be created"
if not exist "%PRESTAGED%" mkdir "%PRESTAGED%"
if not exist "%PRESTAGED%" goto failed

rem 2. Their owner and access rights: SYSTEM and Administrators have full access, Authenticated Users the listed rights.
rem Rights that were granted before are removed.
set "STEP=icacls could not set the access rights of MED-V Images; use an administrator's prompt and Windows 7 or newer"
"%TOOLS%\icacls.exe" "%IMAGES%" /setowner "*S-1-5-32-544"
if not "%errorlevel%"=="0" goto failed
"%TOOLS%\icacls.exe" "%IMAGES%" /reset
if not "%errorlevel%"=="0" goto failed
"%TOOLS%\icacls.exe" "%IMAGES%" {{IMAGES_RIGHTS}}
if not "%errorlevel%"=="0" goto failed
set "STEP=icacls could not set the access rights of the folder PrestagedImages"
"%TOOLS%\icacls.exe" "%PRESTAGED%" /setowner "*S-1-5-32-544"
if not "%errorlevel%"=="0" goto failed
"%TOOLS%\icacls.exe" "%PRESTAGED%" /reset
if not "%errorlevel%"=="0" goto failed
"%TOOLS%\icacls.exe" "%PRESTAGED%" {{PRESTAGED_RIGHTS}}
if not "%errorlevel%"=="0" goto failed

rem 3. The files: copied under another name, checked, renamed, marked read-only. The index comes last.
set "STEP=certutil.exe is missing, so the digests cannot be checked; try prestage.ps1"
if not exist "%TOOLS%\certutil.exe" goto failed
set "STEP=the folder PrestagedImages cannot be opened"
pushd "%PRESTAGED%"
if not "%errorlevel%"=="0" goto failed
{{FILES}}
popd

rem 4. The registry value in which the client looks for them. The client is a 32-bit program.
set "STEP=the registry value PrestagedImagesPath could not be set"
set "KEY=HKLM\SOFTWARE\WOW6432Node\Kidaro"
if /i "%PROCESSOR_ARCHITECTURE%"=="x86" set "KEY=HKLM\SOFTWARE\Kidaro"
"%TOOLS%\reg.exe" add "%KEY%" /v PrestagedImagesPath /t REG_SZ /d "%PRESTAGED%" /f
if not "%errorlevel%"=="0" goto failed

echo prestage: {{IMAGE}} revision {{REVISION}} is in place and checked. Install the client with
echo     msiexec /i Client.msi VMSFOLDER="%IMAGES%"
exit /b 0

:failed
echo prestage: FAILED: %STEP%>&2
echo prestage: the folder was "%PRESTAGED%">&2
exit /b 1

rem Puts the file NAME with the digest HASH from the kit into the current folder.
:place
if not exist "%NAME%" goto copy
set "FILE=%NAME%"
set "STEP=%NAME% is not the file that was packed: its digest differs"
call :hash
if /i "%FOUND%"=="%HASH%" goto mark
if /i "%KIT%"=="%PRESTAGED%" exit /b 1
:copy
set "STEP=%NAME% could not be copied from the kit"
if not exist "%KIT%\%NAME%" exit /b 1
rem An index tells the client that its image is there, so it is removed until the image is there.
if "%INDEX%"=="" goto alone
if not exist "%INDEX%" goto alone
"%TOOLS%\attrib.exe" -R "%INDEX%"
del /f /q "%INDEX%"
:alone
if exist "%NAME%.part" del /f /q "%NAME%.part"
copy /b "%KIT%\%NAME%" "%NAME%.part" >nul
if not "%errorlevel%"=="0" exit /b 1
set "FILE=%NAME%.part"
set "STEP=the copy of %NAME% is not the file that was packed: its digest differs"
call :hash
if /i "%FOUND%"=="%HASH%" goto rename
del /f /q "%NAME%.part"
exit /b 1
:rename
set "STEP=%NAME%.part could not be renamed"
if exist "%NAME%" "%TOOLS%\attrib.exe" -R "%NAME%"
move /y "%NAME%.part" "%NAME%" >nul
if not "%errorlevel%"=="0" exit /b 1
:mark
set "STEP=%NAME% could not be marked read-only"
"%TOOLS%\attrib.exe" +R "%NAME%"
exit /b

rem Sets FOUND to the digest of FILE, or to nothing if there is none. Older systems write the digest with spaces, and an
rem error message in its place: a digest has 64 digits.
:hash
set "FOUND="
for /f "skip=1 delims=" %%H in ('""%TOOLS%\certutil.exe" -hashfile "%FILE%" SHA256"') do if not defined FOUND set "FOUND=%%H"
if defined FOUND set "FOUND=%FOUND: =%"
if not defined FOUND goto nothing
if "%FOUND:~63,1%"=="" goto nothing
if "%FOUND:~64%"=="" exit /b 0
:nothing
set "FOUND="
set "STEP=certutil.exe gave no digest of %FILE%; try prestage.ps1"
exit /b 0
